"use strict";
document.documentElement.classList.add("script");
const $ = (id) => document.getElementById(id);
const data = JSON.parse($("data").textContent);
const AT_ONCE = 150;
const [NAME, SLUG, CORPUS, STRIP, COUNTS, SPEAKERS, TURNS, SECONDS, CONFIDENCE, LOWEST, RIGHT, DIFFER, WORDS] = Array(13).keys();
const CELLS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
const chosen = new Set();
let shown = AT_ONCE;
let current = -1;

const several = new Set(data.conversations.map((row) => row[CORPUS])).size > 1;
const folded = (text) => text.normalize("NFKC").toLowerCase();
const speakers = data.speakers.map(folded);
for (const row of data.conversations) row.needle = folded(`${row[NAME]}\n${row[CORPUS]}\n${row[WORDS]}`);

function element(tag, name, text) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  if (text !== undefined) { made.textContent = text; made.dir = "auto"; }
  return made;
}
function clock(seconds) {
  const two = (number) => String(number).padStart(2, "0");
  const hours = Math.floor(seconds / 3600), minutes = Math.floor(seconds / 60) % 60;
  return hours ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
}

/* Hard-edged gradient of palette variables: one element per strip, and it follows dark mode by itself. */
function gradient(strip) {
  const stops = [];
  for (let from = 0, to; from < strip.length; from = to) {
    for (to = from + 1; to < strip.length && strip[to] === strip[from];) to++;
    const emotion = CELLS.indexOf(strip[from]);
    let colour = emotion < 0 ? "var(--none)" : `var(--k${data.emotions[emotion][1]})`;
    if (chosen.size && !chosen.has(emotion)) colour = `color-mix(in oklab, ${colour} 20%, var(--page))`;
    stops.push(`${colour} ${(100 * from / strip.length).toFixed(2)}% ${(100 * to / strip.length).toFixed(2)}%`);
  }
  return `linear-gradient(90deg, ${stops.join(",")})`;
}
function inWords(counts) {
  const parts = counts.map((count, emotion) => [count, data.emotions[emotion][0]]).filter(([count]) => count);
  return parts.sort((a, b) => b[0] - a[0]).map(([count, name]) => `${name} ${count}`).join(", ") || "not scored";
}

function line(row) {
  const link = element("a", "row");
  link.href = `conversations/${row[SLUG]}.html`;
  const name = element("div", "name");
  const who = row[SPEAKERS].slice(0, 6).map((index) => data.speakers[index]).join(", ");
  name.append(element("b", "", row[NAME]), element("span", "", (several ? `${row[CORPUS]} · ` : "") + who + (row[SPEAKERS].length > 6 ? ", …" : "")));
  const middle = element("div");
  const strip = element("div", "strip");
  strip.style.background = gradient(row[STRIP]);
  strip.setAttribute("role", "img");
  strip.setAttribute("aria-label", inWords(row[COUNTS]));
  strip.title = inWords(row[COUNTS]);
  const opening = row[WORDS].split("\n").find((words) => words) || "";
  middle.append(strip, element("div", "opening", opening.slice(0, 160)));
  const numbers = element("div", "numbers");
  const length = row[SECONDS] === null ? "" : ` · ${clock(row[SECONDS])}`;
  numbers.append(element("span", "", `${row[TURNS]} turn${row[TURNS] === 1 ? "" : "s"}${length}`));
  if (row[CONFIDENCE] !== null) {
    const right = (row[RIGHT] === null ? "" : ` · ${Math.round(100 * row[RIGHT])}\u00a0% right`)
      + (row[DIFFER] === null ? "" : ` · ${Math.round(100 * row[DIFFER])}\u00a0% differ`);
    numbers.append(element("span", "", `${Math.round(100 * row[CONFIDENCE])}\u00a0% sure${right}`));
    const meter = element("span", "meter"), bar = element("i");
    bar.style.width = `${100 * row[CONFIDENCE]}%`;
    meter.title = `Mean confidence ${Math.round(100 * row[CONFIDENCE])} %, lowest ${Math.round(100 * row[LOWEST])} %`;
    meter.append(bar);
    numbers.append(meter);
  }
  link.append(name, middle, numbers);
  const item = element("li");
  item.append(link);
  return item;
}

const share = (row) => { let sum = 0; for (const emotion of chosen) sum += row[COUNTS][emotion]; return sum / row[TURNS]; };
const by = (value) => (a, b) => value(a) - value(b);
const ORDERS = {
  name: null,
  uncertain: by((row) => row[CONFIDENCE] ?? 2),
  chosen: by((row) => -share(row)),
  turns: by((row) => -row[TURNS]),
  long: by((row) => -(row[SECONDS] ?? -1)),
  wrong: by((row) => row[RIGHT] ?? 2),
  differ: by((row) => -(row[DIFFER] ?? -1)),
};

function render() {
  const query = folded($("search").value.trim()), speaker = folded($("speaker").value.trim());
  const said = new Set(speakers.flatMap((name, index) => (speaker && name.includes(speaker) ? [index] : [])));
  const exact = speakers.indexOf(speaker);
  const kept = data.conversations.filter((row) =>
    (!query || row.needle.includes(query) || row[SPEAKERS].some((index) => speakers[index].includes(query)))
    && (!speaker || (exact >= 0 ? row[SPEAKERS].includes(exact) : row[SPEAKERS].some((index) => said.has(index))))
    && [...chosen].every((emotion) => row[COUNTS][emotion] > 0));
  const order = ORDERS[$("sort").value];
  if (order) kept.sort(order);
  $("list").replaceChildren(...kept.slice(0, shown).map(line));
  current = -1;
  const all = data.conversations.length;
  $("found").textContent = kept.length === all ? `${all.toLocaleString("en")} conversations` : `${kept.length.toLocaleString("en")} of ${all.toLocaleString("en")}`;
  $("more").hidden = kept.length <= shown;
  $("more").textContent = `Show ${Math.min(AT_ONCE, kept.length - shown)} more`;
}

/* The choice lives in the address, so that going back from a conversation finds it again. */
function remember() {
  const state = new URLSearchParams();
  if ($("search").value) state.set("search", $("search").value);
  if ($("speaker").value) state.set("speaker", $("speaker").value);
  if ($("sort").value !== "name") state.set("sort", $("sort").value);
  if (chosen.size) state.set("emotions", [...chosen].join("."));
  try { history.replaceState(null, "", `#${state}`); } catch { /* some browsers refuse for files; the list still works */ }
}
function recall() {
  const state = new URLSearchParams(location.hash.slice(1));
  $("search").value = state.get("search") ?? "";
  $("speaker").value = state.get("speaker") ?? "";
  $("sort").value = Object.hasOwn(ORDERS, state.get("sort") ?? "") ? state.get("sort") : "name";
  if (!$("sort").value) $("sort").value = "name";
  chosen.clear();
  for (const part of (state.get("emotions") ?? "").split(".")) {
    const button = document.querySelector(`[data-emotion="${CSS.escape(part)}"]`);
    if (button) chosen.add(Number(part));
  }
  press();
}
function press() {
  for (const button of document.querySelectorAll("[data-emotion]")) {
    button.setAttribute("aria-pressed", String(chosen.has(Number(button.dataset.emotion))));
  }
}
function change() { shown = AT_ONCE; remember(); render(); }

if ($("list")) {
  $("speakers").append(...[...data.speakers].sort((a, b) => a.localeCompare(b)).slice(0, 3000).map((name) => {
    const option = element("option");
    option.value = name;
    return option;
  }));
  for (const button of document.querySelectorAll("[data-emotion]")) {
    button.addEventListener("click", () => {
      const emotion = Number(button.dataset.emotion);
      if (!chosen.delete(emotion)) chosen.add(emotion);
      press();
      change();
    });
  }
  for (const id of ["search", "speaker", "sort"]) $(id).addEventListener("input", change);
  $("more").addEventListener("click", () => { shown += AT_ONCE; render(); });
  addEventListener("beforeprint", () => { shown = Infinity; render(); });
  addEventListener("hashchange", () => { recall(); render(); });
  recall();
  render();
}

function help() { if ($("help").open) $("help").close(); else $("help").showModal(); }
for (const button of document.querySelectorAll("[data-help]")) button.addEventListener("click", help);
function move(step) {
  const links = document.querySelectorAll("#list .row");
  if (!links.length) return;
  current = Math.max(0, Math.min(links.length - 1, current + step));
  links[current].focus({ preventScroll: true });
  links[current].scrollIntoView({ block: "center" });
}
addEventListener("keydown", (event) => {
  const typing = event.target.matches("input, select, textarea");
  if (typing && event.key === "Escape") event.target.blur();
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const act = { "?": help, "/": () => $("search")?.focus(), j: () => move(1), ArrowDown: () => move(1), k: () => move(-1), ArrowUp: () => move(-1) }[event.key];
  if (!act || ($("help").open && event.key !== "?")) return;
  event.preventDefault();
  act();
});
