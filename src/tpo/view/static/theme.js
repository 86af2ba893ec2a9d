// Light or dark: as the system has it, until one is chosen.

const KEY = "tpo-theme";
const ORDER = ["system", "light", "dark"];

export function themed(button) {
  let at = localStorage.getItem(KEY) ?? "system";
  const show = () => {
    if (at === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = at;
    button.textContent = { system: "◐", light: "☀", dark: "☾" }[at];
    button.setAttribute("aria-label", `Colours: ${at}`);
    button.title = `Colours: ${at}`;
  };
  button.addEventListener("click", () => {
    at = ORDER[(ORDER.indexOf(at) + 1) % ORDER.length];
    localStorage.setItem(KEY, at);
    show();
  });
  show();
}
