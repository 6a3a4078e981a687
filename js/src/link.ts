import type { AnyModel } from "@anywidget/types";
import type { Kind, WireFrame } from "./frame";

export interface Scope {
  units: "selected" | "all";
  layers: "this" | "all";
}

export interface Setting {
  kind: Kind;
  value: number;
}

export type Dials = Record<string, Setting>;

export type Request =
  | { serial: number; layer: string | null; units: number[] | null; dials: Dials }
  | { serial: number; clear: true };

export interface Status {
  state: "waiting" | "ready" | "error" | "closed";
  message: string;
  answers?: number;
}

export interface Traits {
  _frame: WireFrame | Record<string, never>;
  _status: Status;
  _drawn: number;
  _request: Request | Record<string, never>;
  layer: string;
  sequence: number;
  site: string;
  units: number[];
  steps: [number, number] | null;
  scope: Scope;
  dials: Dials;
}

type WithoutSerial<T> = T extends { serial: number } ? Omit<T, "serial"> : never;
export type Wish = WithoutSerial<Request>;

/** The traits, typed, and the requests of one view, paced to one a painted frame. */
export class Link {
  private wish: Wish | null = null;
  private scheduled = 0;

  constructor(
    private readonly model: AnyModel<Traits>,
    private readonly signal: AbortSignal,
  ) {
    signal.addEventListener("abort", () => cancelAnimationFrame(this.scheduled));
  }

  get<K extends keyof Traits>(name: K): Traits[K] {
    return this.model.get(name);
  }

  set(values: Partial<Traits>): void {
    for (const name of Object.keys(values) as (keyof Traits)[]) this.assign(name, values[name]);
    this.model.save_changes();
  }

  /** The listener takes no value: hosts disagree on what they pass, `get` is right everywhere. */
  listen(name: keyof Traits, listener: () => void): void {
    const wrapped = () => listener();
    this.model.on(`change:${name}`, wrapped);
    this.signal.addEventListener("abort", () => this.model.off(`change:${name}`, wrapped));
  }

  /** Sends the newest wish at the next animation frame, under a serial that all views share. */
  request(wish: Wish): void {
    this.wish = wish;
    if (this.scheduled === 0) this.scheduled = requestAnimationFrame(() => this.flush());
  }

  /** The serial of the newest request, sent or about to be. */
  get newest(): number {
    return this.sent + (this.wish ? 1 : 0);
  }

  /** The serial up to which Python has answered, with a picture or with an error. */
  get answered(): number {
    const frame = this.get("_frame");
    const shown = "answers" in frame ? frame.answers : 0;
    return Math.max(shown, this.get("_status")?.answers ?? 0);
  }

  get outstanding(): boolean {
    return this.newest > this.answered;
  }

  private get sent(): number {
    const request = this.get("_request");
    return Math.max("serial" in request ? request.serial : 0, this.answered);
  }

  private assign<K extends keyof Traits>(name: K, value: Partial<Traits>[K]): void {
    if (value !== undefined) this.model.set(name, value);
  }

  private flush(): void {
    this.scheduled = 0;
    if (!this.wish) return;
    const serial = this.sent + 1;
    const wish = this.wish;
    this.wish = null;
    this.set({ _request: { ...wish, serial } as Request });
  }
}
