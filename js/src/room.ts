import type { Ground } from "./repainting";

/** The width of one part of the page, measured once on each ground. */
export class Room {
  private ground: Ground | null = null;
  private width = 0;

  constructor(private readonly element: HTMLElement) {}

  /** Whole CSS pixels; 0 while the part is hidden. */
  on(ground: Ground): number {
    if (ground === this.ground && this.width > 0) return this.width;
    this.ground = ground;
    this.width = Math.max(0, Math.floor(this.element.clientWidth));
    return this.width;
  }
}
