"use strict";
document.documentElement.classList.add("script");
const help = document.getElementById("help");
addEventListener("keydown", (event) => {
  if (event.key !== "?" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (help.open) help.close(); else help.showModal();
});
