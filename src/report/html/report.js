"use strict";
(() => {
  const all = (query) => [...document.querySelectorAll(query)];
  const filter = document.querySelector(".filter");
  const search = filter.querySelector("input");
  const selects = [...filter.querySelectorAll("select")];
  const outcomes = [...filter.querySelectorAll("button[data-outcome]")];
  const status = document.querySelector("#shown");
  const items = all("[data-check]").map((element) => ({ element, text: element.textContent.toLowerCase() }));
  const apply = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const pressed = outcomes.filter((button) => button.getAttribute("aria-pressed") === "true").map((button) => button.dataset.outcome);
    let shown = 0;
    for (const { element, text } of items) {
      const { outcome } = element.dataset;
      const visible = words.every((word) => text.includes(word)) && (pressed.length === 0 || pressed.includes(outcome))
        && selects.every((select) => select.value === "" || element.dataset[select.name] === select.value);
      element.hidden = !visible;
      shown += visible;
    }
    for (const section of all("section[data-section]")) {
      section.hidden = section.querySelector("[data-check]:not([hidden])") === null;
    }
    status.textContent = `${shown} of ${items.length} shown`;
  };
  filter.hidden = false;
  search.addEventListener("input", apply);
  selects.forEach((select) => select.addEventListener("change", apply));
  outcomes.forEach((button) => button.addEventListener("click", () => {
    button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
    apply();
  }));
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && document.activeElement !== search) {
      event.preventDefault();
      search.focus();
    } else if (event.key === "Escape" && document.activeElement === search) {
      search.value = "";
      apply();
    }
  });
  for (const button of all("button.copy")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const text = button.parentElement.querySelector("pre");
      try {
        await navigator.clipboard.writeText(text.textContent);
      } catch {
        // A page of a file has no clipboard in some browsers: select the text, to be copied by hand.
        getSelection().selectAllChildren(text);
        return;
      }
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
  }
  addEventListener("beforeprint", () => all("details").forEach((details) => { details.open = true; }));
  apply();
})();
