export interface Place {
  step: number;
  /** Row of the heatmap, in display order. */
  row: number;
}

/** The one cursor that all lanes of a view share. It never leaves the browser. */
export class Cursor {
  private place: Place = { step: 0, row: 0 };
  private readonly listeners = new Set<(place: Place) => void>();

  get step(): number {
    return this.place.step;
  }

  get row(): number {
    return this.place.row;
  }

  listen(listener: (place: Place) => void): void {
    this.listeners.add(listener);
  }

  move(to: Partial<Place>): void {
    const place = { ...this.place, ...to };
    if (place.step === this.place.step && place.row === this.place.row) return;
    this.place = place;
    for (const listener of this.listeners) listener(place);
  }
}
