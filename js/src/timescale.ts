/** Where a time step stands, in CSS pixels; the same for every lane. */
export class TimeScale {
  constructor(
    readonly steps: number,
    readonly width: number,
  ) {}

  get column(): number {
    return this.width / Math.max(1, this.steps);
  }

  left(step: number): number {
    return step * this.column;
  }

  centre(step: number): number {
    return (step + 0.5) * this.column;
  }

  stepAt(x: number): number {
    return Math.min(this.steps - 1, Math.max(0, Math.floor(x / this.column)));
  }

  /** Round step numbers at least `gap` pixels apart. */
  ticks(gap: number): number[] {
    const spacing = roundUp(gap / this.column);
    const ticks: number[] = [];
    for (let step = 0; step < this.steps; step += spacing) ticks.push(step);
    return ticks;
  }
}

/** The smallest of 1, 2, 5, 10, 20, … that is not below the number. */
export function roundUp(number: number): number {
  if (number <= 1) return 1;
  const power = 10 ** Math.floor(Math.log10(number));
  return power * ([1, 2, 5, 10].find((factor) => factor * power >= number) ?? 10);
}
