// Conveniences; the page does everything that matters without them.
document.documentElement.classList.add("scripted");

// Times in the reader's own zone, with the offset in sight.
for (const button of document.querySelectorAll("[data-zone]")) {
  button.addEventListener("click", () => {
    const local = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(local));
    const offset = -new Date().getTimezoneOffset();
    const two = (number) => String(Math.floor(Math.abs(number))).padStart(2, "0");
    const name = local ? `UTC${offset < 0 ? "−" : "+"}${two(offset / 60)}:${two(offset % 60)}` : "UTC";
    button.textContent = name;
    for (const zone of document.querySelectorAll(".zone")) zone.textContent = name;
    for (const time of document.querySelectorAll("td time[datetime]")) {
      const at = new Date(time.dateTime);
      const shown = local ? new Date(at.getTime() + offset * 60000) : at;
      time.textContent = shown.toISOString().replace("T", " ").replace("Z", "");
    }
  });
}

const copied = async (button, text) => {
  await navigator.clipboard.writeText(text);
  const label = button.textContent;
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = label; }, 1500);
};
for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", () => copied(button, button.dataset.copy));
}
for (const button of document.querySelectorAll("[data-copy-link]")) {
  button.addEventListener("click", () => copied(button, location.href));
}

// The live tail says how many new entries there are; loading them is the reader's decision.
for (const live of document.querySelectorAll("[data-tail]")) {
  live.hidden = false;
  const [button, link] = [live.querySelector("button"), live.querySelector("a")];
  let source = null;
  let count = 0;
  button.addEventListener("click", () => {
    if (source) {
      source.close();
      source = null;
    } else {
      source = new EventSource(live.dataset.tail);
      source.onmessage = () => {
        count += 1;
        link.hidden = false;
        link.href = location.href;
        link.textContent = `${count} new ${count === 1 ? "entry" : "entries"}: show`;
      };
    }
    button.setAttribute("aria-pressed", String(source !== null));
    button.textContent = source ? "Pause" : "Follow live";
  });
}
