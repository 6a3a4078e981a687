import { isolated } from "./isolation";

/** The model's name, with a number where another view of the page is of a model of that name. */
export function viewName(root: HTMLElement, title: string): string {
  if (root.dataset.title !== title) {
    const views = [...document.querySelectorAll<HTMLElement>(".rnnwidget")];
    const taken = views.filter((view) => view !== root && view.dataset.title === title);
    const numbers = new Set(taken.map((view) => Number(view.dataset.number)));
    let number = 1;
    while (numbers.has(number)) number += 1;
    root.dataset.title = title;
    root.dataset.number = String(number);
  }
  const { number } = root.dataset;
  return isolated(title) + (number === "1" ? "" : `, view ${number}`);
}
