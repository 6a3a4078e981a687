import { readTheme, type Theme, watchTheme } from "./theme";

const WIDE = 800;
const NARROW = 660;
const SLIM = 480;
const FRAMES = 60;

/** What a picture is painted on: an object of its own for every size and theme, so that both are looked up once. */
export interface Ground {
  /** Of the root, in CSS pixels. */
  width: number;
  theme: Theme;
}

/** Paints a root when asked to, once for each animation frame, where there is room; anew when size or theme change. */
export class Repainting {
  private scheduled = 0;
  private waited = 0;
  private ground: Ground | null = null;

  /** `paint` returns false while there is no room to paint in. */
  constructor(
    private readonly root: HTMLElement,
    private readonly paint: (ground: Ground) => boolean,
    private readonly signal: AbortSignal,
  ) {}

  /** Begins to follow the root's size and the page's theme; call it once the root is on the page. */
  start(): void {
    watchTheme(this.root, () => this.begin(), this.signal);
    let seen = -1;
    const observer = new ResizeObserver(() => {
      const width = this.root.clientWidth;
      if (width !== seen) this.begin();
      seen = width;
    });
    observer.observe(this.root);
    this.signal.addEventListener("abort", () => {
      observer.disconnect();
      cancelAnimationFrame(this.scheduled);
    });
  }

  ask(): void {
    if (this.scheduled === 0 && !this.signal.aborted)
      this.scheduled = requestAnimationFrame(() => {
        this.scheduled = 0;
        this.now();
      });
  }

  private begin(): void {
    this.ground = null;
    this.ask();
  }

  private now(): void {
    // Asked for in the middle of changes, a size makes the browser lay out the page twice for one frame.
    this.ground ??= this.measured();
    if (this.ground && this.paint(this.ground)) {
      this.waited = 0;
      return;
    }
    this.ground = null;
    // JupyterLab hides everything for a moment while it changes the theme, too short for a change of size to be seen.
    this.waited += 1;
    if (this.waited < FRAMES) this.ask();
  }

  private measured(): Ground | null {
    const width = this.root.clientWidth;
    if (width === 0) return null;
    const name = width >= WIDE ? "wide" : width >= NARROW ? "narrow" : "slim";
    if (this.root.dataset.width !== name) this.root.dataset.width = name;
    this.root.classList.toggle("rnnwidget-tiny", width < SLIM);
    return { width, theme: readTheme(this.root) };
  }
}
