import type { Cursor } from "./cursor";
import { make } from "./dom";
import type { FilledFrame } from "./frame";

const CLOSING = /^(?:[.,;:!?%)\]}…”’]|n['’]t$|['’](?:s|re|ve|ll|d|m)$)/u;
const UNSPACED =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\u3000-\u303f\uff00-\uffef]/u;

/** Whether running text has a space between two tokens. */
export function spaced(before: string, after: string): boolean {
  if (before === "" || after === "" || /\s$/.test(before) || /^\s/.test(after)) return false;
  if (UNSPACED.test(before.at(-1) ?? "") || UNSPACED.test(after[0] ?? "")) return false;
  return !CLOSING.test(after);
}

/** Single signs are a character model's tokens: its text carries its own spaces. */
function areCharacters(tokens: string[]): boolean {
  const single = tokens.filter((token) => [...token].length === 1).length;
  return tokens.some((token) => /^\s$/.test(token)) && single > 0.8 * tokens.length;
}

/** The tokens as text to read; the word under the cursor is marked, and a word moves the cursor. */
export class RunningText {
  readonly element = make("div", {
    class: "rnnwidget-text",
    role: "group",
    tabindex: "0",
    "aria-label": "text that was read; left and right move the cursor",
  });
  private words: HTMLElement[] = [];
  private marked: HTMLElement | null = null;

  constructor(private readonly cursor: Cursor) {
    const follow = (event: Event) => {
      const step = event.target instanceof HTMLElement ? event.target.dataset.step : undefined;
      if (step !== undefined) cursor.move({ step: Number(step) });
    };
    this.element.addEventListener("pointerover", follow);
    this.element.addEventListener("click", follow);
    this.element.addEventListener("keydown", (event) => this.onKey(event));
    cursor.listen(() => this.mark(true));
  }

  show(frame: FilledFrame, steps: [number, number] | null): void {
    const tokens = frame.tokens;
    this.element.hidden = tokens === null;
    if (!tokens) return;
    if (
      tokens.length !== this.words.length ||
      tokens.some((token, step) => token !== this.words[step]!.textContent)
    )
      this.build(tokens);
    this.words.forEach((word, step) => {
      word.classList.toggle("rnnwidget-brushed", steps !== null && step >= steps[0] && step < steps[1]);
    });
    this.mark(false);
  }

  private build(tokens: string[]): void {
    const apart = !areCharacters(tokens);
    this.words = tokens.map((token, step) => make("span", { "data-step": String(step) }, token));
    this.element.replaceChildren();
    this.words.forEach((word, step) => {
      if (step > 0 && apart && spaced(tokens[step - 1]!, tokens[step]!)) this.element.append(" ");
      this.element.append(word);
    });
  }

  private onKey(event: KeyboardEvent): void {
    const by = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    if (by === 0) return;
    event.preventDefault();
    this.cursor.move({ step: Math.min(this.words.length - 1, Math.max(0, this.cursor.step + by)) });
  }

  private mark(follow: boolean): void {
    const word = this.words[this.cursor.step] ?? null;
    if (word !== this.marked) {
      this.marked?.classList.remove("rnnwidget-at-cursor");
      word?.classList.add("rnnwidget-at-cursor");
      this.marked = word;
    }
    if (word && follow && !this.element.matches(":hover")) this.reveal(word);
  }

  /** Scrolls the text only, never the notebook. */
  private reveal(word: HTMLElement): void {
    const top = word.offsetTop - this.element.offsetTop;
    const view = this.element.clientHeight;
    if (top < this.element.scrollTop) this.element.scrollTop = top;
    else if (top + word.offsetHeight > this.element.scrollTop + view)
      this.element.scrollTop = top + word.offsetHeight - view;
  }
}
