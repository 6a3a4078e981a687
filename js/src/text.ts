import { onPress, putAway } from "./button";
import type { Cursor } from "./cursor";
import { make, setText } from "./dom";
import type { FilledFrame } from "./frame";
import { type InputWish, RESET_INPUT } from "./input_wish";
import { isolated, quotedToken, turnsOthers } from "./isolation";
import { type WordEditor, wordEditor } from "./word_editor";

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

/** The tokens as text to read; the word under the cursor is marked, a word moves the cursor and can be retyped. */
export class RunningText {
  readonly element = make("div", { class: "rnnwidget-passage" });
  private readonly line = make("div", { class: "rnnwidget-text", role: "group", tabindex: "0", dir: "auto" });
  private readonly told = make("span", { class: "rnnwidget-clipped" });
  private readonly reset = make("button", { type: "button", title: RESET_INPUT }, "reset input");
  private readonly foot = make(
    "div",
    { class: "rnnwidget-passage-foot rnnwidget-muted" },
    this.told,
    this.reset,
  );
  private words: HTMLElement[] = [];
  private marked: HTMLElement | null = null;
  private frame: FilledFrame | null = null;
  private editor: (WordEditor & { step: number }) | null = null;
  private still = false;
  /** Where the pointer was seen last. */
  private pointer: { x: number; y: number } | null = null;
  /** The cursor moves to the word that is pointed at, which can be seen. */
  private pointing = false;
  /** Whether somebody has moved the cursor from elsewhere; until then the text stands at its beginning. */
  private revealed = false;

  constructor(
    private readonly cursor: Cursor,
    private readonly ask: (wish: InputWish) => void,
  ) {
    this.line.setAttribute("data-lm-suppress-shortcuts", "true");
    const follow = (event: Event) => {
      const step = event.target instanceof HTMLElement ? event.target.dataset.step : undefined;
      if (step === undefined) return;
      this.pointing = true;
      cursor.move({ step: Number(step) });
      this.pointing = false;
      if (event.type === "click" && this.editable) this.edit(Number(step));
    };
    this.line.addEventListener("pointerover", (event) => {
      const { clientX: x, clientY: y } = event;
      // Where the text has been scrolled under a pointer that rests, nobody points at another word.
      const rests = x === this.pointer?.x && y === this.pointer.y;
      this.pointer = { x, y };
      if (!this.editor && !rests) follow(event);
    });
    this.line.addEventListener("pointermove", ({ clientX: x, clientY: y }) => {
      this.pointer = { x, y };
    });
    this.line.addEventListener("click", follow);
    this.line.addEventListener("keydown", (event) => this.onKey(event));
    onPress(this.reset, () => ask({ kind: "reset" }));
    this.element.append(this.line, this.foot);
    cursor.listen(() => this.mark(true));
  }

  show(frame: FilledFrame, steps: [number, number] | null): void {
    const tokens = frame.tokens;
    if (frame.sequence !== this.frame?.sequence) this.closeEditor(true);
    this.frame = frame;
    this.element.hidden = tokens === null;
    this.line.hidden = tokens === null;
    if (!tokens) return;
    const known = this.words.map((word) => word.dataset.token);
    if (tokens.length !== known.length || tokens.some((token, step) => token !== known[step]))
      this.build(tokens);
    const changed = new Set(frame.writing?.changed_steps ?? []);
    this.words.forEach((word, step) => {
      word.classList.toggle("rnnwidget-brushed", steps !== null && step >= steps[0] && step < steps[1]);
      word.classList.toggle("rnnwidget-retyped", changed.has(step));
    });
    this.describe(frame);
    this.mark(false);
  }

  /** Nobody is there to read other words with. */
  stand(still: boolean): void {
    if (this.still === still) return;
    this.still = still;
    this.foot.inert = still;
    if (still) this.closeEditor(true);
    if (this.frame) this.describe(this.frame);
  }

  private get editable(): boolean {
    return !this.still && this.frame?.writing?.words === "";
  }

  private describe(frame: FilledFrame): void {
    const writing = frame.writing;
    const how = this.editable ? ", Enter retypes the word, Delete removes it, + inserts one after it" : "";
    this.line.setAttribute("aria-label", `text that was read; left and right move the cursor${how}`);
    this.line.title = this.editable ? "" : (writing?.words ?? "");
    this.line.dataset.editable = String(this.editable);
    putAway(this.reset, (writing?.told.length ?? 0) === 0);
    this.tell();
  }

  /** What was changed, and what the model reads for the word at the cursor. */
  private tell(): void {
    const writing = this.frame?.writing;
    const reads = writing?.reads?.[this.cursor.step];
    const word = this.frame?.tokens?.[this.cursor.step];
    const parts = [...(writing?.told ?? [])];
    if (reads !== undefined && word !== undefined && reads !== word)
      parts.push(`${quotedToken(word)} is read as ${isolated(reads)}`);
    if (this.editable && parts.length < 2) parts.push("click a word to retype it");
    setText(this.told, parts.join(" · "));
    this.told.title = parts.join(" · ");
  }

  private build(tokens: string[]): void {
    const apart = !areCharacters(tokens);
    this.closeEditor(true);
    this.words = tokens.map((token, step) =>
      make("span", { "data-step": String(step), "data-token": token }, token === "" ? "∅" : token),
    );
    for (const word of this.words)
      word.classList.toggle("rnnwidget-isolated", turnsOthers(word.dataset.token!));
    this.line.replaceChildren();
    this.words.forEach((word, step) => {
      if (step > 0 && apart && spaced(tokens[step - 1]!, tokens[step]!)) this.line.append(" ");
      this.line.append(word);
    });
  }

  private edit(step: number): void {
    const word = this.words[step];
    const tokens = this.frame?.tokens;
    if (!word || !tokens || this.editor?.step === step) return;
    this.closeEditor(false);
    const editor = wordEditor(tokens[step]!, step, {
      apply: (text) => this.put(step, 1, text === tokens[step] ? null : [text]),
      remove: () => this.put(step, 1, []),
      insert: () => this.insertAfter(step),
      cancel: () => this.closeEditor(true),
    });
    this.editor = { ...editor, step };
    word.hidden = true;
    word.after(editor.element);
    const input = editor.element.querySelector("input")!;
    input.focus();
    input.select();
  }

  /** A new word beside one: it begins empty, and is there once it has been typed. */
  private insertAfter(step: number): void {
    this.closeEditor(false);
    const { element, drop } = wordEditor("", step + 1, {
      apply: (text) => this.put(step + 1, 0, [text]),
      remove: () => this.closeEditor(true),
      insert: () => this.closeEditor(true),
      cancel: () => this.closeEditor(true),
    });
    const apart = make("span", {}, " ", element);
    this.editor = { element: apart, drop, step: -1 };
    this.words[step]?.after(apart);
    element.querySelector("input")!.focus();
  }

  /** Asks for the text with some words replaced; null leaves it as it is. */
  private put(step: number, count: number, by: string[] | null): void {
    const tokens = this.frame?.tokens;
    this.closeEditor(true);
    if (!tokens || !by || tokens.length - count + by.length === 0) return;
    this.ask({ kind: "words", words: [...tokens.slice(0, step), ...by, ...tokens.slice(step + count)] });
    if (by.length > 0) this.cursor.move({ step });
  }

  private closeEditor(keepFocus: boolean): void {
    const open = this.editor;
    if (!open) return;
    this.editor = null;
    open.drop();
    const word = this.words[open.step];
    if (word) word.hidden = false;
    const had = open.element.contains(document.activeElement);
    open.element.remove();
    if (keepFocus && had) this.line.focus();
  }

  private onKey(event: KeyboardEvent): void {
    if (event.target !== this.line || event.ctrlKey || event.metaKey || event.altKey) return;
    const step = this.cursor.step;
    const by = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    if (by !== 0) this.cursor.move({ step: Math.min(this.words.length - 1, Math.max(0, step + by)) });
    else if (!this.editable) return;
    else if (event.key === "Enter") this.edit(step);
    else if (event.key === "Delete") this.put(step, 1, []);
    else if (event.key === "+" || event.key === "Insert") this.insertAfter(step);
    else return;
    event.preventDefault();
  }

  private mark(follow: boolean): void {
    const word = this.words[this.cursor.step] ?? null;
    if (word !== this.marked) {
      this.marked?.classList.remove("rnnwidget-at-cursor");
      word?.classList.add("rnnwidget-at-cursor");
      this.marked = word;
    }
    this.tell();
    if (word && follow && !this.pointing) this.reveal(word);
  }

  /** The lines break elsewhere: the word that the text has been scrolled to is looked for again. */
  laidOutAnew(): void {
    if (this.revealed && this.marked && !this.element.hidden) this.reveal(this.marked);
  }

  /** Scrolls the text only, never the notebook. */
  private reveal(word: HTMLElement): void {
    this.revealed = true;
    const [view, own] = [this.line.getBoundingClientRect(), word.getBoundingClientRect()];
    const above = own.top - view.top;
    const below = own.bottom - (view.top + this.line.clientHeight);
    if (above < 0) this.line.scrollTop += above;
    else if (below > 0) this.line.scrollTop += below;
  }
}
