// Buttons that put something on the clipboard.

import { h } from "./dom.js";

const SHOWN = 1500;

export function copier(label, content) {
  const button = h("button", { type: "button", "data-key": label }, label);
  const status = h("span", { class: "hidden", role: "status" });
  button.addEventListener("click", async () => {
    const done = await copied(content());
    button.textContent = done ? "Copied" : "Not copied";
    status.textContent = done ? "Copied" : "The browser did not allow it";
    setTimeout(() => {
      button.textContent = label;
      status.textContent = "";
    }, SHOWN);
  });
  return [button, status];
}

async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Without a secure address there is no clipboard but this one.
    const field = h("textarea", { class: "hidden" });
    field.value = text;
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    return done;
  }
}
