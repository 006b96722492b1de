"use strict";
const root = document.documentElement;
root.classList.add("script");
const $ = (id) => document.getElementById(id);
const turns = [...document.querySelectorAll(".turn")];
const cursor = document.querySelector(".cursor");
const column = cursor ? Number(cursor.getAttribute("width")) : 0;
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const PLAY = "M3 1.5v13l11-6.5z", PAUSE = "M3 2h4v12H3zM9 2h4v12H9z";
const view = document.querySelector(".window"), seen = new Set();
let current = 0, sounding = null, onward = false, scrolled = false;

function select(index, { scroll = true } = {}) {
  if (!turns.length) return;
  turns[current].classList.remove("current");
  turns[current].removeAttribute("aria-current");
  current = Math.max(0, Math.min(turns.length - 1, index));
  scrolled = false;
  turns[current].classList.add("current");
  turns[current].setAttribute("aria-current", "true");
  cursor.setAttribute("x", current * column);
  turns[current].dispatchEvent(new Event("selected"));
  if (scroll) {
    turns[current].focus({ preventScroll: true });
    turns[current].scrollIntoView({ block: "center", behavior: calm.matches ? "auto" : "smooth" });
    try { history.replaceState(null, "", `#t${current + 1}`); } catch { /* some browsers refuse for files */ }
  }
}

/* The timeline shows what is on the screen; after scrolling by hand the keys go on from there. */
const watch = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) seen[isIntersecting ? "add" : "delete"](turns.indexOf(target));
  view.setAttribute("x", seen.size ? Math.min(...seen) * column : 0);
  view.setAttribute("width", seen.size ? (Math.max(...seen) - Math.min(...seen) + 1) * column : 0);
}, { rootMargin: "-15% 0px 0px" });
for (const kind of ["wheel", "touchmove"]) addEventListener(kind, () => { scrolled = true; }, { passive: true });
function step(by) { select(scrolled && seen.size && !seen.has(current) ? Math.min(...seen) : current + by); }

/* Hits of a search, each in a mark; the words themselves stay as they are. */
const words = [...document.querySelectorAll(".words")].map((node) => ({ node, text: node.textContent }));
let hits = [], hit = -1;
function find() {
  const wanted = $("find").value.trim();
  const pattern = wanted && new RegExp(wanted.replace(/[.*+?^${}()|[\]\\]/g, "\\$&").replace(/\s+/g, "\\s+"), "giu");
  for (const { node, text } of words) {
    if (!node.querySelector("mark") && !(pattern && text.search(pattern) >= 0)) continue;
    node.textContent = "";
    let done = 0;
    for (const found of pattern ? text.matchAll(pattern) : []) {
      const mark = document.createElement("mark");
      mark.textContent = found[0];
      node.append(text.slice(done, found.index), mark);
      done = found.index + found[0].length;
    }
    node.append(text.slice(done));
  }
  hits = [...document.querySelectorAll(".words mark")];
  hit = -1;
  $("hits").textContent = wanted ? `${hits.length} found` : "";
}
function go(by) {
  if (!hits.length) return;
  hits[hit]?.classList.remove("here");
  hit = hit < 0 && by < 0 ? hits.length - 1 : (hit + by + hits.length) % hits.length;
  hits[hit].classList.add("here");
  select(turns.indexOf(hits[hit].closest(".turn")));
  $("find").focus({ preventScroll: true });
  $("hits").textContent = `${hit + 1} of ${hits.length}`;
}
$("find").addEventListener("input", find);
$("find").addEventListener("keydown", (event) => {
  if (event.key === "Enter") go(event.shiftKey ? -1 : 1);
  else if (event.key === "Escape") { $("find").value = ""; find(); turns[current]?.focus({ preventScroll: true }); }
  else return;
  event.preventDefault();
  event.stopPropagation();
});

function compact(on = $("compact").getAttribute("aria-pressed") !== "true") {
  $("compact").setAttribute("aria-pressed", String(on));
  root.classList.toggle("compact", on);
  try { localStorage.setItem("hbaf-compact", on ? "1" : ""); } catch { /* some browsers keep nothing for files */ }
  if (turns.length) turns[current].scrollIntoView({ block: "nearest" });
}
$("compact").addEventListener("click", () => compact());
try { if (localStorage.getItem("hbaf-compact")) compact(true); } catch { /* likewise */ }

/* The browser's own player works without script; with it, a button and a ring that know the segment's borders. */
function equip(turn) {
  const audio = turn.querySelector("audio");
  if (!audio) return;
  const start = Number(audio.dataset.start ?? 0), end = () => Number(audio.dataset.end ?? audio.duration);
  const wave = turn.querySelector(".wave");
  const button = document.createElement("button"), inside = document.createElement("span");
  button.className = "play";
  button.type = "button";
  const icon = document.createElementNS("http://www.w3.org/2000/svg", "svg"), path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  icon.setAttribute("viewBox", "0 0 16 16");
  icon.append(path);
  inside.append(icon);
  button.append(inside);
  turn.querySelector(".body").prepend(button);
  const fail = () => {
    if (turn.querySelector(".failed")) return;
    const note = document.createElement("p");
    note.className = "note failed";
    note.textContent = "This browser cannot play the audio file.";
    audio.after(note);
  };
  const face = (playing) => { path.setAttribute("d", playing ? PAUSE : PLAY); button.setAttribute("aria-label", playing ? "Pause" : "Play"); };
  face(false);
  const follow = () => {
    const share = (audio.currentTime - start) / (end() - start);
    wave?.querySelector(".played").setAttribute("width", 100 * Math.max(0, Math.min(1, share || 0)));
    button.style.setProperty("--played", `${100 * Math.max(0, Math.min(1, share || 0))}%`);
    if (audio.dataset.end && audio.currentTime >= end() - 0.02 && !audio.paused) audio.pause();
    if (!audio.paused) requestAnimationFrame(follow);
  };
  audio.addEventListener("play", () => { face(true); follow(); });
  audio.addEventListener("pause", () => {
    face(false);
    if (sounding !== turn) return;
    sounding = null;
    const over = audio.ended || (audio.dataset.end && audio.currentTime >= end() - 0.05);
    if (over && onward) playFrom(turns.indexOf(turn) + 1);
    else if (!over) through(false);
  });
  audio.addEventListener("error", () => { face(false); fail(); });
  button.addEventListener("click", () => { select(turns.indexOf(turn), { scroll: false }); toggle(turn); });
  wave?.addEventListener("click", (event) => {
    const box = wave.getBoundingClientRect(), length = end() - start;
    const seek = () => { audio.currentTime = start + (end() - start) * (event.clientX - box.left) / box.width; follow(); if (audio.paused) toggle(turn); };
    if (Number.isFinite(length)) seek(); else { audio.addEventListener("loadedmetadata", seek, { once: true }); audio.load(); }
  });
  turn.toggle = () => {
    if (!audio.paused) { audio.pause(); return; }
    if (sounding) { const other = sounding; sounding = null; other.querySelector("audio").pause(); }
    if (audio.currentTime < start || audio.currentTime >= end() - 0.05) audio.currentTime = start;
    sounding = turn;
    audio.play().catch(() => { if (sounding === turn) sounding = null; fail(); through(false); });
  };
}
function toggle(turn) { if (turn && turn.toggle) turn.toggle(); }
function through(on) {
  onward = on;
  $("on").textContent = on ? "❚❚ Pause" : "▶ Play through";
  $("on").setAttribute("aria-pressed", String(on));
}
function playFrom(index) {
  const next = turns.findIndex((turn, place) => place >= index && turn.toggle);
  if (next < 0) { through(false); return; }
  select(next);
  through(true);
  if (sounding !== turns[next]) toggle(turns[next]);
}
function playOn() { if (onward) { through(false); if (sounding) toggle(sounding); } else playFrom(current); }

const panels = [...document.querySelectorAll(".turn .evidence")];
function evidence(open = $("evidence").getAttribute("aria-pressed") !== "true") {
  $("evidence").setAttribute("aria-pressed", String(open));
  for (const panel of panels) panel.open = open;
  if (turns.length) turns[current].scrollIntoView({ block: "nearest" });
}
function help() { if ($("help").open) $("help").close(); else $("help").showModal(); }
function follow(selector) { document.querySelector(selector)?.click(); }

turns.forEach((turn, index) => {
  watch.observe(turn);
  equip(turn);
  turn.addEventListener("click", (event) => { if (!event.target.closest("a, button, summary")) select(index, { scroll: false }); });
});
$("on").hidden = !turns.some((turn) => turn.toggle);
$("on").addEventListener("click", playOn);
$("evidence").addEventListener("click", () => evidence());
for (const button of document.querySelectorAll("[data-help]")) button.addEventListener("click", help);

let opened = [];
addEventListener("beforeprint", () => { opened = panels.map((panel) => panel.open); for (const panel of panels) panel.open = true; });
addEventListener("afterprint", () => panels.forEach((panel, index) => { panel.open = opened[index]; }));

function fromAddress() {
  const named = /^#t([0-9]+)$/.exec(location.hash);
  select(named ? Number(named[1]) - 1 : 0, { scroll: Boolean(named) });
}
addEventListener("hashchange", fromAddress);
fromAddress();

const KEYS = {
  j: () => step(1), ArrowDown: () => step(1), ArrowRight: () => step(1),
  k: () => step(-1), ArrowUp: () => step(-1), ArrowLeft: () => step(-1),
  Home: () => select(0), End: () => select(turns.length - 1),
  " ": () => toggle(turns[current]), a: playOn, e: () => evidence(), c: () => compact(), "/": () => $("find").focus(), "?": help,
  n: () => follow("[data-after]"), p: () => follow("[data-before]"), i: () => follow("[data-up]"), l: () => label(),
};
addEventListener("keydown", (event) => {
  if (labelKey(event)) { event.preventDefault(); return; }
  if (event.target.closest("input")) return;
  const act = KEYS[event.key];
  if (!act || event.ctrlKey || event.metaKey || event.altKey || ($("help").open && event.key !== "?")) return;
  if (event.key === " " && event.target.closest("button, summary, a")) return;
  event.preventDefault();
  act();
});
