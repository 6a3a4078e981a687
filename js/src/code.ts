import { make, setText } from "./dom";
import type { Link } from "./link";

/** Copies the edits as Python; where the clipboard is out of reach, shows them selected. */
export class CodeButton {
  readonly element = make("span", { class: "rnnwidget-code" });
  private readonly button = make("button", { type: "button" });
  private readonly said = make("span", { class: "rnnwidget-said", role: "status" });
  private readonly text = make("textarea", {
    class: "rnnwidget-code-text",
    "aria-label": "the edits as Python; copy them from here",
    readonly: "",
    rows: "4",
    hidden: "",
    "data-lm-suppress-shortcuts": "true",
  });

  constructor(private readonly link: Link) {
    this.button.append("copy code");
    this.button.title = "copy the edits as Python";
    this.element.append(this.button, this.said, this.text);
    this.button.addEventListener("click", () => this.copy());
    this.text.addEventListener("blur", () => this.hide());
    this.text.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      this.button.focus();
    });
    link.listen("_code", () => setText(this.said, ""));
  }

  private async copy(): Promise<void> {
    const code = this.link.get("_code");
    try {
      await navigator.clipboard.writeText(code);
      setText(this.said, "copied");
    } catch {
      this.text.value = code;
      this.text.hidden = false;
      this.text.focus();
      this.text.select();
      setText(this.said, "");
    }
  }

  private hide(): void {
    this.text.hidden = true;
  }
}
