// Light or dark, before anything is drawn: what was chosen here, else what the system says.
(() => {
  let chosen = null;
  try {
    chosen = localStorage.getItem("hitters.theme");
  } catch {
    // Storage may be forbidden; then the system decides.
  }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
