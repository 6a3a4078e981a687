import { make, setAttribute } from "./dom";

export interface Option {
  value: string;
  text: string;
  /** The accessible name and tooltip, where the text is a symbol. */
  name?: string;
  disabled?: boolean;
}

const FORWARD = new Set(["ArrowRight", "ArrowDown"]);
const BACKWARD = new Set(["ArrowLeft", "ArrowUp"]);

/** A radiogroup of buttons: one tab stop, arrows choose. */
export class Choice {
  readonly element: HTMLElement;
  private options: Option[] = [];
  private value = "";

  constructor(
    name: string,
    private readonly choose: (value: string) => void,
  ) {
    this.element = make("div", { class: "rnnwidget-choice", role: "radiogroup", "aria-label": name });
    this.element.addEventListener("click", (event) => this.take(this.buttonOf(event.target)));
    this.element.addEventListener("keydown", (event) => this.onKey(event));
  }

  show(options: Option[], value: string): void {
    const focused = this.buttonOf(document.activeElement)?.value;
    if (JSON.stringify(options) !== JSON.stringify(this.options)) this.build(options);
    this.value = value;
    const chosen = options.some((option) => option.value === value && !option.disabled);
    const stop = chosen ? value : options.find((option) => !option.disabled)?.value;
    for (const button of this.buttons()) {
      setAttribute(button, "aria-checked", String(button.value === value));
      setAttribute(button, "tabindex", button.value === stop ? "0" : "-1");
    }
    if (focused === undefined || this.buttonOf(document.activeElement)) return;
    const same = options.some((option) => option.value === focused && !option.disabled);
    this.buttons()
      .find((button) => button.value === (same ? focused : stop))
      ?.focus();
  }

  private build(options: Option[]): void {
    this.options = options;
    this.element.replaceChildren(
      ...options.map(({ value, text, name, disabled }) => {
        const button = make("button", { type: "button", role: "radio", value }, text);
        if (name) {
          button.setAttribute("aria-label", name);
          button.title = name;
        }
        button.disabled = disabled ?? false;
        return button;
      }),
    );
  }

  private buttons(): HTMLButtonElement[] {
    return [...this.element.querySelectorAll("button")];
  }

  private buttonOf(target: EventTarget | null): HTMLButtonElement | null {
    const button = target instanceof Element ? target.closest("button") : null;
    return button && this.element.contains(button) ? button : null;
  }

  private take(button: HTMLButtonElement | null | undefined): void {
    if (!button || button.disabled || button.value === this.value) return;
    this.choose(button.value);
  }

  private onKey(event: KeyboardEvent): void {
    const direction = FORWARD.has(event.key) ? 1 : BACKWARD.has(event.key) ? -1 : 0;
    if (direction === 0) return;
    event.preventDefault();
    const enabled = this.buttons().filter((button) => !button.disabled);
    const at = enabled.findIndex((button) => button.matches(":focus"));
    const next = enabled[(at + direction + enabled.length) % enabled.length];
    next?.focus();
    this.take(next);
  }
}
