
"use strict";
// Shows the items whose data match every choice, and hides groups in which none is left. Values
// start with "=", so that the empty one is free for "all".
(() => {
  const form = document.getElementById("filters");
  const shown = document.getElementById("shown");
  if (!form || !shown) return;
  const choices = [...form.querySelectorAll("select")];
  const items = [...document.querySelectorAll("[data-item]")];
  const groups = [...document.querySelectorAll("[data-group]")];
  const all = shown.textContent;
  const apply = () => {
    let count = 0;
    for (const item of items) {
      item.hidden = !choices.every((choice) =>
        choice.value === "" || item.getAttribute("data-" + choice.dataset.filter) === choice.value);
      if (!item.hidden) count += 1;
    }
    for (const group of groups) {
      group.hidden = group.querySelector("[data-item]:not([hidden])") === null;
    }
    shown.textContent = count === items.length ? all : count + " of " + all;
  };
  form.addEventListener("change", apply);
  form.addEventListener("reset", () => setTimeout(apply));
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  apply();
})();
