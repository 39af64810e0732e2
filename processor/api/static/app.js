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

// Completions for the query box: the ARIA combobox pattern with a list to choose from.
const box = document.getElementById("q");
if (box) {
  const list = document.createElement("ul");
  list.id = "q-options";
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", "Suggestions");
  list.hidden = true;
  box.after(list);
  const set = (name, value) => box.setAttribute(name, value);
  set("role", "combobox");
  set("aria-autocomplete", "list");
  set("aria-controls", list.id);
  set("aria-expanded", "false");
  let chosen = -1;
  let asked = 0;
  const close = () => {
    list.hidden = true;
    chosen = -1;
    set("aria-expanded", "false");
    box.removeAttribute("aria-activedescendant");
  };
  const mark = (number) => {
    const options = [...list.children];
    if (!options.length) return;
    chosen = (number + options.length) % options.length;
    options.forEach((option, at) => option.setAttribute("aria-selected", String(at === chosen)));
    set("aria-activedescendant", options[chosen].id);
  };
  const take = (option) => {
    box.value = option.dataset.text;
    box.focus();
    close();
  };
  const show = (suggestions) => {
    list.replaceChildren(...suggestions.map((each, at) => {
      const option = document.createElement("li");
      option.id = `q-option-${at}`;
      option.setAttribute("role", "option");
      option.setAttribute("aria-selected", "false");
      option.dataset.text = each.text;
      const [label, hint] = [document.createElement("code"), document.createElement("small")];
      label.textContent = each.label;
      hint.textContent = each.hint;
      option.append(label, hint);
      option.addEventListener("mousedown", (event) => { event.preventDefault(); take(option); });
      return option;
    }));
    list.hidden = !suggestions.length;
    chosen = -1;
    set("aria-expanded", String(!list.hidden));
  };
  box.addEventListener("input", async () => {
    asked += 1;
    const mine = asked;
    const wanted = new URLSearchParams({ text: box.value, cursor: box.selectionStart ?? 0 });
    const answer = await fetch(`/v1/suggest?${wanted}`).catch(() => null);
    if (mine !== asked || !answer?.ok || document.activeElement !== box) return;
    const { suggestions } = await answer.json();
    show(suggestions.filter((each) => each.text !== box.value));
  });
  box.addEventListener("keydown", (event) => {
    if (event.key === "Escape") close();
    if (list.hidden) return;
    if (event.key === "ArrowDown") { event.preventDefault(); mark(chosen + 1); }
    if (event.key === "ArrowUp") { event.preventDefault(); mark(chosen - 1); }
    if (event.key === "Enter" && chosen >= 0) { event.preventDefault(); take(list.children[chosen]); }
  });
  box.addEventListener("blur", close);
}
