import { make } from "./dom";

/** In letters: what is longer scrolls inside. */
const WIDEST = 40;

export interface WordEdit {
  apply(text: string): void;
  remove(): void;
  insert(): void;
  cancel(): void;
}

export interface WordEditor {
  element: HTMLElement;
  /** What is being typed is for nobody any more. */
  drop(): void;
}

/** An input in a word's place: Enter applies, an empty word is removed, Escape leaves it as it was. */
export function wordEditor(word: string, step: number, actions: WordEdit): WordEditor {
  const edit = once(actions);
  const input = make("input", {
    type: "text",
    dir: "auto",
    value: word,
    spellcheck: "false",
    autocomplete: "off",
    "aria-label": `word at step ${step}: Enter applies, Escape cancels`,
  });
  const widen = () => {
    input.style.width = `${Math.min(WIDEST, Math.max(3, [...input.value].length + 1))}ch`;
  };
  const remove = button("✕", "remove the word", edit.remove);
  const insert = button("+", "insert a word after it", edit.insert);
  const element = make("span", { class: "rnnwidget-word-editor", role: "group" }, input, remove, insert);
  input.addEventListener("input", widen);
  element.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.key === "Escape") edit.cancel();
    else if (event.key === "Enter" && event.target === input) {
      if (input.value === "") edit.remove();
      else edit.apply(input.value);
    } else return;
    event.preventDefault();
  });
  element.addEventListener("focusout", (event) => {
    const next = event.relatedTarget;
    if (next instanceof Node && element.contains(next)) return;
    if (input.value !== word && input.value !== "") edit.apply(input.value);
    else edit.cancel();
  });
  widen();
  return { element, drop: edit.drop };
}

/** Only the first action counts: taking the input off the page makes it lose the focus as well. */
function once(edit: WordEdit): WordEdit & { drop(): void } {
  let done = false;
  const first = (act: () => void) => {
    if (done) return;
    done = true;
    act();
  };
  return {
    apply: (text) => first(() => edit.apply(text)),
    remove: () => first(edit.remove),
    insert: () => first(edit.insert),
    cancel: () => first(edit.cancel),
    drop: () => first(() => {}),
  };
}

function button(text: string, name: string, act: () => void): HTMLButtonElement {
  const made = make("button", { type: "button", "aria-label": name, title: name }, text);
  made.addEventListener("click", act);
  return made;
}
