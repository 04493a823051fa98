// Light or dark, before anything is drawn: what was chosen here, else what the system says, also when it changes its mind.
(() => {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const set = () => {
    let chosen = null;
    try {
      chosen = localStorage.getItem("hitters.theme");
    } catch {
      // Storage may be forbidden; then the system decides.
    }
    const dark = chosen === "light" || chosen === "dark" ? chosen === "dark" : system.matches;
    document.documentElement.dataset.theme = dark ? "dark" : "light";
  };
  set();
  system.addEventListener("change", set);
})();
