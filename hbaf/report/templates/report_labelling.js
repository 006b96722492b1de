/* Labels that a person gives. They are kept in this browser, and at once in the home where `hbaf review` serves the page. */
const main = document.querySelector("main"), bar = $("labelling"), corpus = main.dataset.corpus, served = "review" in main.dataset;
const STORE = `hbaf-labels/${corpus}`, MOST = 100, RESERVED = "un";
const choices = [...bar.querySelectorAll("[data-emotion]")], emotions = choices.map((button) => button.dataset.emotion);
const letterOf = (emotion) => { const letter = emotion[0].toLowerCase(); return RESERVED.includes(letter) ? "" : letter; };
let kept = { annotator: "", blind: false, given: new Map() }, labelling = false, undone = [], sending = false, again = false;

/* annotator -> utterance id -> { emotion, note, at, content, saved }; another tab may have written meanwhile. */
function read() {
  try {
    const found = JSON.parse(localStorage.getItem(STORE) ?? "{}");
    kept = { ...kept, ...found, given: new Map((found.given ?? []).map(([name, labels]) => [name, new Map(labels)])) };
  } catch { /* a browser that keeps nothing: labels live as long as the page */ }
}
function write() {
  try {
    localStorage.setItem(STORE, JSON.stringify({ ...kept, given: [...kept.given].map(([name, labels]) => [name, [...labels]]) }));
  } catch { say("This browser keeps nothing: save the labels before you leave.", true); }
}
function change(act) { read(); act(); write(); paint(); }
function of(annotator) {
  if (!kept.given.has(annotator)) kept.given.set(annotator, new Map());
  return kept.given.get(annotator);
}
function say(text, wrong = false) { $("state").textContent = text; $("state").classList.toggle("wrong", wrong); }
const idOf = (turn) => turn.dataset.utterance;
const mine = (turn) => of(kept.annotator).get(idOf(turn)) ?? { emotion: "", note: "" };

function give(turn, fields, { remember = true, annotator = kept.annotator } = {}) {
  if (!annotator) { say("Type your name first: it stays beside your labels.", true); $("annotator").focus(); return false; }
  const before = of(annotator).get(idOf(turn)) ?? { emotion: "", note: "" };
  if (remember) undone.push({ annotator, turn, before });
  change(() => of(annotator).set(idOf(turn), {
    emotion: before.emotion, note: before.note, ...fields, at: new Date().toISOString(), content: turn.dataset.content, saved: false,
  }));
  if (!served) say("");
  send();
  return true;
}
function choose(index, onwards = true) {
  if (give(turns[current], { emotion: emotions[index] }) && onwards && current < turns.length - 1) select(current + 1);
}
function chooseLetter(letter) {
  const found = emotions.flatMap((emotion, index) => (letterOf(emotion) === letter ? [index] : []));
  if (!found.length) return false;
  if (found.length === 1) choose(found[0]);
  else choose(found[(found.indexOf(emotions.indexOf(mine(turns[current]).emotion)) + 1) % found.length], false);
  return true;
}
function undo() {
  const last = undone.pop();
  if (!last) { say("Nothing to undo."); return; }
  give(last.turn, { emotion: last.before.emotion, note: last.before.note }, { remember: false, annotator: last.annotator });
  select(turns.indexOf(last.turn));
}

function paint() {
  let done = 0;
  for (const turn of turns) {
    const { emotion, note } = labelling && kept.annotator ? mine(turn) : { emotion: "", note: "" };
    done += Boolean(emotion);
    const given = turn.querySelector(".given");
    given.hidden = !emotion && !note;
    given.className = `given k${choices[emotions.indexOf(emotion)]?.dataset.slot ?? "none"}`;
    given.querySelector("b").textContent = emotion || "no label";
    given.querySelector("i").textContent = note ? " ✎" : "";
    given.title = note;
  }
  const here = mine(turns[current]);
  choices.forEach((button, index) => button.setAttribute("aria-pressed", String(emotions[index] === here.emotion)));
  $("note").value = here.note;
  $("progress").textContent = `Turn ${current + 1} of ${turns.length}, ${done} labelled`;
  $("blind").checked = kept.blind;
  root.classList.toggle("blind", labelling && kept.blind);
  if (document.activeElement !== $("annotator")) $("annotator").value = kept.annotator;
  $("annotators").replaceChildren(...[...kept.given.keys()].filter(Boolean).map((name) => new Option(name)));
}
function label(on = !labelling) {
  labelling = on;
  bar.hidden = !on;
  root.classList.toggle("labelling", on);
  $("label").setAttribute("aria-pressed", String(on));
  read();
  paint();
  if (on && !kept.annotator) $("annotator").focus();
  if (on) { fetchGiven(); send(); turns[current].scrollIntoView({ block: "center" }); }
}
function named() {
  const name = $("annotator").value.trim().replace(/\s+/g, " ");
  change(() => { kept.annotator = name; });
  say(name ? "" : "Without a name nothing is kept.", !name);
  fetchGiven();
}

/* Where `hbaf review` serves the page, the token of its address goes into the header of what is sent. */
const headers = () => ({ Authorization: `Bearer ${location.pathname.split("/")[1]}`, "Content-Type": "application/json" });
function unsaved() {
  return [...kept.given].flatMap(([annotator, labels]) => [...labels].filter(([, one]) => one.saved === false)
    .map(([utterance_id, { emotion, note, at, content }]) => ({ utterance_id, emotion, note, at, content, annotator })));
}
async function send() {
  if (!served) return;
  if (sending) { again = true; return; }
  sending = true;
  try {
    for (let open = unsaved(); open.length; open = unsaved()) {
      const part = open.slice(0, MOST);
      const answer = await fetch("../labels", { method: "POST", headers: headers(), body: JSON.stringify({ labels: part }) });
      if (!answer.ok) throw new Error((await answer.json()).error ?? answer.statusText);
      change(() => part.forEach((one) => { const there = of(one.annotator).get(one.utterance_id); if (there?.at === one.at) there.saved = true; }));
    }
    say("Saved.");
  } catch (error) { say(`Not saved, kept in this browser: ${error.message}`, true); again = false; }
  sending = false;
  if (again) { again = false; send(); }
}
/* What this annotator labelled elsewhere: in another browser, or in a file that was taken up. */
async function fetchGiven() {
  if (!served || !kept.annotator) return;
  const annotator = kept.annotator;
  try {
    const answer = await fetch(`../labels?${new URLSearchParams({ annotator, corpus })}`, { headers: headers() });
    if (!answer.ok) return;
    const { labels } = await answer.json();
    change(() => labels.forEach(({ utterance_id, ...one }) => { if (of(annotator).get(utterance_id)?.saved !== false) of(annotator).set(utterance_id, { ...one, saved: true }); }));
  } catch { /* what is here stays */ }
}
function save() {
  read();
  const labels = [...of(kept.annotator)].filter(([, one]) => one.emotion || one.note)
    .map(([utterance_id, { emotion, note, at, content }]) => ({ utterance_id, emotion, note, at, content, annotator: kept.annotator }));
  if (!labels.length) { say("There is no label to save.", true); return; }
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify({ hbaf_labels: 1, corpus, labels }, null, 1)], { type: "application/json" }));
  link.download = `labels-${corpus}-${kept.annotator.replace(/[^\p{L}\p{N}]+/gu, "-")}.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  say(`${labels.length} label${labels.length > 1 ? "s" : ""} saved as a file: hbaf label import SOURCE FILE`);
}

choices.forEach((button, index) => button.addEventListener("click", () => choose(index)));
$("label").addEventListener("click", () => label());
$("undo").addEventListener("click", undo);
$("save").addEventListener("click", save);
$("annotator").addEventListener("change", named);
$("note").addEventListener("change", () => give(turns[current], { note: $("note").value.trim() }));
$("blind").addEventListener("change", () => change(() => { kept.blind = $("blind").checked; }));
addEventListener("storage", (event) => { if (event.key === STORE) { read(); paint(); } });
addEventListener("online", () => send());
turns.forEach((turn) => turn.addEventListener("selected", () => { if (labelling) paint(); }));
read();

/* Keys while labelling; what they leave goes to the page. True where one was used. */
function labelKey(event) {
  const { key, target } = event;
  if (!labelling || !turns.length) return false;
  if (target.closest("input:not([type=checkbox])")) {
    if (key === "Enter" || key === "Escape") { target.blur(); turns[current].focus({ preventScroll: true }); return true; }
    return false;
  }
  if (key.toLowerCase() === "z" && (event.ctrlKey || event.metaKey)) { undo(); return true; }
  if (event.ctrlKey || event.metaKey || event.altKey || $("help").open) return false;
  if (/^[1-9]$/.test(key)) { if (Number(key) <= emotions.length) choose(Number(key) - 1); return true; }
  if (key === "0" || key === "Delete" || key === "Backspace") { give(turns[current], { emotion: "" }); return true; }
  if (key === "Escape") { label(false); return true; }
  if (key === "u") { undo(); return true; }
  if (key === "n") { if (kept.annotator) { $("note").focus(); $("note").select(); } else give(turns[current], {}); return true; }
  return key.length === 1 && chooseLetter(key.toLowerCase());
}
