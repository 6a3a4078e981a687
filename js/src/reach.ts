import type { Link } from "./link";

const CUT = ".jupyter-widgets-disconnected";
const OFTEN = 500;

/** Whether Python can be reached, as far as the host knows. */
export class Reach {
  open: boolean;
  private looking: ReturnType<typeof setInterval> | undefined;

  constructor(
    root: HTMLElement,
    private readonly link: Link,
    private readonly changed: () => void,
    signal: AbortSignal,
  ) {
    const marked = () => root.closest(CUT) !== null;
    this.open = !marked();
    // Hosts mark what is around a view, and each of its widgets hears of it in turn.
    link.listenToKernel(() => requestAnimationFrame(() => this.turn(!marked())));
    link.listen("_request", () => this.look());
    for (const coming of ["pointerenter", "focusin"]) root.addEventListener(coming, () => this.look());
    signal.addEventListener("abort", () => this.await(false));
  }

  /** Looks again and again while there is an answer to come. */
  await(answer: boolean): void {
    clearInterval(this.looking);
    if (answer) this.looking = setInterval(() => this.look(), OFTEN);
  }

  /** JupyterLab marks nothing where a kernel is shut down: one finds out when one comes to the view. */
  private look(): void {
    if (this.link.abandoned) this.turn(false);
  }

  private turn(open: boolean): void {
    if (open === this.open) return;
    this.open = open;
    this.changed();
  }
}
