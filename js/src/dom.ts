const FOCUSABLE = new Set(["input", "select", "button", "canvas"]);

/**
 * A DOM element with attributes and children; strings become text nodes, never HTML.
 *
 * JupyterLab binds keys to `.jp-Notebook :focus`, which matches the focused element before any ancestor is asked:
 * each control has to carry the attribute that keeps shortcuts off.
 */
export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Record<string, string> = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (FOCUSABLE.has(tag)) element.setAttribute("data-lm-suppress-shortcuts", "true");
  element.append(...children);
  return element;
}

export function setAttribute(element: Element, name: string, value: string): void {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

/** Text whose last letters stay where there is no room for all of it: it is cut before them. */
export function setCutBefore(element: HTMLElement, text: string, kept: number): void {
  if (element.textContent === text) return;
  const at = Math.max(0, text.length - kept);
  element.classList.add("rnnwidget-cut");
  element.replaceChildren(make("span", {}, text.slice(0, at)), make("span", {}, text.slice(at)));
  element.title = text;
}

/** An id that is unique on the page, for aria-labelledby and its kin. */
export function uniqueId(stem: string): string {
  return `rnnwidget-${stem}-${Math.random().toString(36).slice(2, 12)}`;
}
