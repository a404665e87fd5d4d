// Keys, and what is remembered about looks. Every page works without this file.
"use strict";
const root = document.documentElement;
const THEMES = ["auto", "light", "dark"];

function recall(name, usual) {
  try { return localStorage.getItem(name) ?? usual; } catch { return usual; }
}
function remember(name, value) {
  root.dataset[name] = value;
  try { localStorage.setItem(name, value); } catch { /* private windows forget */ }
}
for (const [name, usual] of [["theme", "auto"], ["boxes", "on"], ["weak", "off"]]) root.dataset[name] = recall(name, usual);
root.classList.add("auto");

const flip = (name) => remember(name, root.dataset[name] === "on" ? "off" : "on");
const actions = {
  boxes() {
    flip("boxes");
    showState();
  },
  weak() { flip("weak"); },
  theme() { remember("theme", THEMES[(THEMES.indexOf(root.dataset.theme) + 1) % THEMES.length]); },
  help() {
    const help = document.getElementById("help");
    help.open ? help.close() : help.showModal();
  },
};
function showState() {
  document.querySelector("[data-do=boxes]").setAttribute("aria-pressed", String(root.dataset.boxes === "on"));
}
function follow(selector) {
  const link = document.querySelector(selector);
  if (link) location.assign(link.href);
  return Boolean(link);
}

// Moves the focus over the frames of all grids on the page, by one or by a row as it is laid out.
function step(by, row) {
  const items = [...document.querySelectorAll("[data-item]")];
  if (!items.length) return false;
  const here = items.indexOf(document.activeElement);
  let there = here + by;
  if (here < 0) there = 0;
  else if (row) {
    const box = items[here].getBoundingClientRect();
    const rows = items.filter((item) => {
      const top = item.getBoundingClientRect().top;
      return by > 0 ? top > box.top + 4 : top < box.top - 4;
    });
    if (!rows.length) return false;
    const near = (item) => {
      const other = item.getBoundingClientRect();
      return Math.abs(other.top - box.top) * 100 + Math.abs(other.left - box.left);
    };
    there = items.indexOf(rows.reduce((best, item) => (near(item) < near(best) ? item : best)));
  }
  const item = items[Math.max(0, Math.min(items.length - 1, there))];
  item.focus({ focusVisible: true });
  item.scrollIntoView({ block: "nearest" });
  return true;
}

// Back to the page it came from if that is the one above, so that its place and scroll are as they were.
function goUp() {
  const up = document.querySelector("[data-up]");
  if (!up) return false;
  if (document.referrer === up.href && history.length > 1) history.back();
  else location.assign(up.href);
  return true;
}

const turn = (side, by) => (document.querySelector(".stage") ? follow(`.turn[rel=${side}]`) : step(by, false));
const keys = {
  ArrowRight: () => turn("next", 1),
  j: () => turn("next", 1),
  ArrowLeft: () => turn("prev", -1),
  k: () => turn("prev", -1),
  ArrowDown: () => document.activeElement.matches("[data-item]") && step(1, true),
  ArrowUp: () => document.activeElement.matches("[data-item]") && step(-1, true),
  "]": () => follow(".pager [rel=next]"),
  "[": () => follow(".pager [rel=prev]"),
  Escape: goUp,
  "/": () => { document.getElementById("q").select(); return true; },
  b: () => { actions.boxes(); return true; },
  w: () => { actions.weak(); return true; },
  t: () => { actions.theme(); return true; },
  "?": () => { actions.help(); return true; },
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (document.getElementById("help").open) return;
  if (event.target.closest("input, select, textarea, video")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (Object.hasOwn(keys, event.key) && keys[event.key]()) event.preventDefault();
});

function watchVideo() {
  const [video, timeline] = [document.querySelector("video"), document.querySelector(".timeline")];
  if (!video || !timeline) return;
  const head = timeline.querySelector(".playhead");
  video.addEventListener("timeupdate", () => {
    const x = (video.currentTime / Number(timeline.dataset.length)) * 1000;
    head.setAttribute("d", `M${x} 0V120`);
    head.removeAttribute("hidden");
  });
}

document.addEventListener("DOMContentLoaded", () => {
  for (const button of document.querySelectorAll("[data-do]")) {
    button.hidden = false;
    button.addEventListener("click", () => actions[button.dataset.do]());
  }
  showState();
  for (const form of document.querySelectorAll("form[data-auto]")) {
    form.addEventListener("change", () => form.requestSubmit());
    // Empty fields would only make addresses long.
    form.addEventListener("formdata", (event) => {
      for (const [name, value] of [...event.formData]) if (!value) event.formData.delete(name);
    });
  }
  const filters = document.querySelector("[data-filters]");
  if (filters && !("active" in filters.dataset) && matchMedia("(max-width: 640px)").matches) filters.open = false;
  const help = document.getElementById("help");
  help.addEventListener("click", (event) => { if (event.target === help) help.close(); });
  watchVideo();
});
