// Conveniences; the page does everything that matters without them.
document.documentElement.classList.add("scripted");

// Times in the reader's own zone, with the offset in sight; the choice is kept for every page.
// A row of the other half of the year has another offset, and says so.
const ZONE = "zone";
const AN_INSTANT = /\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d+)?Z?/g;
let local = localStorage.getItem(ZONE) === "local";
const two = (number) => String(Math.floor(Math.abs(number))).padStart(2, "0");
const ahead = (at) => -at.getTimezoneOffset();
const named = (minutes) => `UTC${minutes < 0 ? "−" : "+"}${two(minutes / 60)}:${two(minutes % 60)}`;
// As long as the text that it stands for; the head of a column may say what the usual offset is.
const moved = (text, at, headed) => {
  const minutes = ahead(at);
  const shown = new Date(at.getTime() + minutes * 60000).toISOString().replace("T", " ");
  const cut = shown.slice(0, text.replace("Z", "").length);
  return headed && minutes === ahead(new Date()) ? cut : `${cut} ${named(minutes)}`;
};
const inZone = (part) => {
  for (const time of part.querySelectorAll("time[datetime], .chart title")) {
    time.dataset.utc ??= time.textContent;
    const headed = !time.closest(".detail") && time.closest("table")?.querySelector(".zone");
    const at = (text) => new Date((time.dateTime ?? text).replace(" ", "T"));
    const text = time.dataset.utc;
    time.textContent = local ? text.replace(AN_INSTANT, (each) => moved(each, at(each), headed)) : text;
  }
};
const showZone = () => {
  const name = local ? named(ahead(new Date())) : "UTC";
  for (const zone of document.querySelectorAll(".zone, [data-zone]")) zone.textContent = name;
  for (const button of document.querySelectorAll("[data-zone]")) button.setAttribute("aria-pressed", String(local));
  inZone(document);
};
for (const button of document.querySelectorAll("[data-zone]")) {
  button.addEventListener("click", () => {
    local = !local;
    localStorage.setItem(ZONE, local ? "local" : "UTC");
    showZone();
  });
}
if (local) showZone();

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(button.dataset.copy);
  const label = button.textContent;
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = label; }, 1500);
});

// An entry opens below its row: the same page as behind the link, without its frame.
const opening = new WeakSet();
document.addEventListener("click", async (event) => {
  const link = event.target.closest("[data-detail]");
  if (!link || event.button || event.metaKey || event.ctrlKey || event.shiftKey) return;
  event.preventDefault();
  const row = link.closest("tr");
  if (opening.has(row)) return;
  const open = row.nextElementSibling?.classList.contains("detail");
  link.setAttribute("aria-expanded", String(!open));
  if (open) return row.nextElementSibling.remove();
  opening.add(row);
  const answer = await fetch(link.href).catch(() => null);
  const text = answer?.ok && !answer.redirected ? await answer.text().catch(() => "") : "";
  const detail = new DOMParser().parseFromString(text, "text/html").getElementById("detail");
  opening.delete(row);
  if (!detail) { location.href = link.href; return; }
  detail.removeAttribute("id");
  const below = document.createElement("tr");
  below.className = "detail";
  below.insertCell().append(detail);
  below.cells[0].colSpan = row.cells.length;
  inZone(below);
  row.after(below);
});

// What is new comes in at the top. A pause keeps the place: nothing is missed by it.
const ROWS_MAX = 500;
const FOLLOWED = "followed";
const here = location.pathname + location.search;
for (const live of document.querySelectorAll("[data-live]")) {
  live.hidden = false;
  const [button, said] = [live.querySelector("button"), live.querySelector("[role=status]")];
  const rows = document.querySelector(".rows");
  const address = new URL(live.dataset.live, location.href);
  let source = null;
  let count = 0;
  const goOn = (event) => address.searchParams.set("after", event.lastEventId);
  const add = (event) => {
    goOn(event);
    // What was stored while the page was made may be on it already.
    const id = /id="(e-[0-9a-f-]{36})"/.exec(event.data)?.[1];
    if (id && document.getElementById(id)) return;
    rows.closest("[hidden]")?.removeAttribute("hidden");
    document.querySelector(".empty")?.remove();
    rows.insertAdjacentHTML("afterbegin", event.data);
    rows.firstElementChild.classList.add("new");
    if (local) inZone(rows.firstElementChild);
    while (rows.children.length > ROWS_MAX) rows.lastElementChild.remove();
    count += 1;
    said.textContent = `${count} new ${count === 1 ? "entry" : "entries"}`;
  };
  const show = () => {
    button.setAttribute("aria-pressed", String(source !== null));
    button.textContent = source ? "Pause" : "Follow live";
  };
  const atWork = () => box.value !== box.defaultValue || document.querySelector(".detail, .menu[open]");
  const session = async () => (await fetch("/v1/suggest?text=").catch(() => null))?.status;
  let again = 0;
  // Behind the session a reload leads by the login, mostly unseen, and following goes on there.
  const renew = async () => {
    const status = await session();
    if (source || status === 403) return;
    if (status === 200) {
      said.textContent = "";
      button.click();
    } else if (status === 401 && !atWork()) {
      sessionStorage.setItem(FOLLOWED, JSON.stringify([here, scrollY]));
      location.reload();
    } else {
      clearTimeout(again);
      again = setTimeout(renew, 4000);
    }
  };
  // A connection that broke comes back by itself; one that was refused, as after the session, never.
  const end = async (event) => {
    if (event.target.readyState !== EventSource.CLOSED) return;
    source = null;
    show();
    said.textContent = "Following has stopped: reload the page to go on";
    if (await session() === 401) renew();
  };
  button.addEventListener("click", () => {
    source?.close();
    source = source ? null : new EventSource(address);
    if (source) [source.onmessage, source.onerror] = [add, end];
    source?.addEventListener("place", goOn);
    show();
  });
  const [followed, at] = JSON.parse(sessionStorage.getItem(FOLLOWED) ?? "[]");
  if (followed === here) {
    sessionStorage.removeItem(FOLLOWED);
    scrollTo(0, at);
    button.click();
  }
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
  let shown = [];
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
    shown = suggestions.filter((each) => each.text !== box.value);
    list.replaceChildren(...shown.map((each, at) => {
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
    list.hidden = !shown.length;
    chosen = -1;
    set("aria-expanded", String(!list.hidden));
    box.removeAttribute("aria-activedescendant");
  };
  box.addEventListener("input", async () => {
    asked += 1;
    const mine = asked;
    // What was offered for less than is typed by now would undo the rest.
    show(shown.filter((each) => each.text.startsWith(box.value)));
    const wanted = new URLSearchParams({ text: box.value, cursor: box.selectionStart ?? 0 });
    const answer = await fetch(`/v1/suggest?${wanted}`).catch(() => null);
    if (mine !== asked || !answer?.ok || document.activeElement !== box) return;
    const { suggestions } = await answer.json();
    show(suggestions);
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

// What changes by itself is fetched again while somebody looks, unless they are at work in it.
const fresh = [...document.querySelectorAll("[data-fresh]")];
if (fresh.length) {
  const main = document.getElementById("main");
  const note = document.createElement("p");
  note.className = "note";
  note.setAttribute("role", "status");
  note.innerHTML = 'Your session has ended, and what is shown gets old: <a href="/login" target="_blank">log in</a> beside this page to go on.';
  let filled = false;
  main.addEventListener("input", () => { filled = true; });
  const atWork = () => filled || main.querySelector(":is(input, select, textarea, button):focus");
  setInterval(async () => {
    if (document.hidden) return;
    const answer = await fetch(location.pathname + location.search).catch(() => null);
    // What is shown would get old unsaid; who goes there again is led to the login.
    if (answer?.status === 401) {
      if (!atWork()) location.reload();
      else if (!note.isConnected) main.prepend(note);
      return;
    }
    if (!answer?.ok || answer.redirected) return;
    note.remove();
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of fresh) {
      const now = page.querySelector(`[data-fresh="${part.dataset.fresh}"]`);
      if (now && !part.contains(document.activeElement)) part.replaceChildren(...now.childNodes);
    }
    if (local) inZone(main);
  }, 4000);
}
