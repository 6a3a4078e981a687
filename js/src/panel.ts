import { onPress, turnOff } from "./button";
import { CodeButton } from "./code";
import { Dial, type Hands, meanOf } from "./dial";
import { make, setText } from "./dom";
import type { FilledFrame } from "./frame";
import { HistoryButtons } from "./history";
import type { Dials, Link, Track } from "./link";
import { ScopeChips, type Where } from "./scope";
import { spanOf } from "./track";

const RESET =
  "takes every edit of a gate back, whatever it acts on; words and pulses that were changed stay: “reset input” is for those";
/** Milliseconds without a newer picture. */
const QUIET = 150;

/** A slider for each gate, what the sliders act on, and the edits in force. */
export class GatePanel implements Hands {
  readonly element: HTMLElement;
  readonly history: HistoryButtons;
  private readonly chips: ScopeChips;
  private readonly rows = make("div", { class: "rnnwidget-dials" });
  private readonly edits = make("ul", { class: "rnnwidget-edits", "aria-label": "edits in force" });
  private readonly clear = make(
    "button",
    { type: "button", class: "rnnwidget-clear", title: RESET },
    "reset edits",
  );
  /** Said aloud by the header, which may be out of sight from here. */
  private readonly activity = make("span", { class: "rnnwidget-activity", "aria-hidden": "true" });
  private dials: Dial[] = [];
  private gates = "";
  private lines = "";
  private frame: FilledFrame | null = null;
  /** For each site the serial of the request that last moved it. */
  private readonly asked = new Map<string, number>();
  /** Sites moved since the scope changed, until Python has told the dials of the new scope. */
  private fresh: Set<string> | null = null;
  /** The dial whose answers are to be asked for, as soon as nothing else is under way. */
  private watched: { dial: Dial; idle: boolean } | null = null;
  private looks = 0;
  /** Where the drag in progress acts, whatever is selected meanwhile. */
  private drag: { gesture: string; scope: Where } | null = null;
  /** Python may still be asking along the dial named last: it gives that up for a newer picture, or an error. */
  private underway = false;
  private version = -1;
  private settling: ReturnType<typeof setTimeout> | undefined;
  /** How many answers each edited dial's track had when it was asked for without anybody coming to it. */
  private readonly known = new Map<string, number>();

  constructor(private readonly link: Link) {
    this.history = new HistoryButtons(link);
    this.chips = new ScopeChips(link);
    const tools = make("span", { class: "rnnwidget-tools" });
    tools.append(this.history.element, this.clear, new CodeButton(link).element, this.activity);
    const title = make("span", { class: "rnnwidget-title" }, "probe");
    const head = make("div", { class: "rnnwidget-panel-head" }, title, this.chips.element, tools);
    this.element = make("section", { class: "rnnwidget-panel" });
    this.element.append(head, this.rows, this.edits);
    onPress(this.clear, () => this.resetAll());
    for (const trait of ["dials", "inherited"] as const) link.listen(trait, () => this.sync());
    link.listen("_tracks", () => {
      this.drawTracks();
      this.lookOn();
    });
    link.listen("_frame", () => this.look());
    link.listen("_status", () => {
      this.look();
      if (link.get("_status").state !== "error") return;
      this.sync();
      this.begin();
      this.lookOn();
    });
    for (const trait of ["units", "steps", "scope", "layer"] as const)
      link.listen(trait, () => {
        this.fresh = new Set();
        this.known.clear();
        this.showScope();
      });
  }

  show(frame: FilledFrame): void {
    this.frame = frame;
    const gates = JSON.stringify(
      frame.panel.map((gate) => ({ ...gate, shift: null, scale: null, clamp: null })),
    );
    if (gates !== this.gates) this.build(gates);
    for (const [place, dial] of this.dials.entries()) {
      dial.fit(frame.panel[place]!);
      const trace = frame.trace.series[dial.gate.site];
      dial.restAt(meanOf(trace?.before ?? trace?.after));
    }
    this.showScope();
    const lines = JSON.stringify(frame.edits);
    if (lines !== this.lines) this.list(frame.edits);
    this.lines = lines;
    this.edits.dataset.edited = String(frame.edits.length > 0);
    turnOff(this.clear, frame.edits.length === 0);
    this.sync();
    this.drawTracks();
    if (frame.version !== this.version) this.begin();
    this.version = frame.version;
    this.settle();
  }

  tell(activity: string): void {
    setText(this.activity, activity);
  }

  /** Nobody is there to move anything for: the dials stand where the picture is. */
  stand(still: boolean): void {
    if (still === this.element.inert) return;
    this.element.inert = still;
    if (still) this.sync();
  }

  moved(dial: Dial): void {
    // A thumb that is held follows its pointer also where it is inert.
    if (this.element.inert) this.sync();
    else this.send(dial);
  }

  lookedAt(dial: Dial): void {
    this.drawTracks();
    this.watched = { dial, idle: false };
    this.look();
  }

  released(dial: Dial): void {
    this.sync();
    this.lookedAt(dial);
  }

  private build(gates: string): void {
    this.gates = gates;
    this.dials = (this.frame?.panel ?? []).map((gate) => new Dial({ ...gate }, this));
    this.rows.replaceChildren(...this.dials.map(({ element }) => element));
  }

  /** A line that goes hands the keyboard on to the one after it. */
  private list(lines: string[]): void {
    const buttons = () => [...this.edits.querySelectorAll("button")];
    const at = buttons().indexOf(document.activeElement as HTMLButtonElement);
    const none = make("li", {}, make("span", {}, "no edits: the model runs as it is"));
    const items = lines.map((line, place) => {
      const drop = make("button", { type: "button", "aria-label": `remove: ${line}`, title: "remove" }, "✕");
      drop.addEventListener("click", () => {
        this.link.request({ drop: place, line });
        this.remember(this.dials.map(({ gate }) => gate.site));
      });
      return make("li", {}, make("span", {}, line), drop);
    });
    this.edits.replaceChildren(...(items.length > 0 ? items : [none]));
    if (at >= 0)
      (buttons()[Math.min(at, lines.length - 1)] ?? this.history.element.querySelector("button"))?.focus();
  }

  private showScope(): void {
    if (this.frame) this.chips.show(this.frame);
  }

  /** Moves the dials to what Python says, but none that is held or whose newest move is unanswered. */
  private sync(): void {
    this.fresh = null;
    const dials = this.link.get("dials");
    const inherited = this.link.get("inherited");
    for (const dial of this.dials) {
      const { site } = dial.gate;
      const pending = (this.asked.get(site) ?? 0) > this.link.answered;
      if (this.element.inert || (!dial.held && !pending))
        dial.adopt(dials[site] ?? null, inherited[site] ?? {});
    }
  }

  private send(dial: Dial): void {
    const { gesture, gate, setting, held } = dial;
    const now = this.chips.scope;
    const scope = held && this.drag?.gesture === gesture ? this.drag.scope : now;
    this.drag = held ? { gesture, scope } : null;
    this.fresh?.add(gate.site);
    if (JSON.stringify(scope) === JSON.stringify(now))
      this.link.request({ ...scope, dials: this.settings(), gesture });
    // The other dials stand where the new scope has them.
    else {
      const own: Dials = setting ? { [gate.site]: setting } : {};
      this.link.request({ ...scope, dials: own, only: [gate.site], gesture });
    }
    this.remember([gate.site]);
  }

  private settings(): Dials {
    const settings: Dials = {};
    for (const { gate, setting } of this.dials)
      if (setting && (!this.fresh || this.fresh.has(gate.site))) settings[gate.site] = setting;
    return settings;
  }

  private resetAll(): void {
    for (const dial of this.dials) dial.adopt(null);
    this.link.request({ clear: true });
    this.remember(this.dials.map(({ gate }) => gate.site));
  }

  private remember(sites: string[]): void {
    for (const site of sites) this.asked.set(site, this.link.newest);
  }

  /** Looks on once no newer picture has come for a while: questions in the midst of moves would hold up their frames. */
  private settle(): void {
    clearTimeout(this.settling);
    this.settling = setTimeout(() => {
      if (this.element.isConnected) this.lookOn();
    }, QUIET);
  }

  /** What was asked before is over, finished or not. */
  private begin(): void {
    this.known.clear();
    this.underway = false;
  }

  /** Asks for the answers along the dial that somebody looks at, but never while an edit is on its way. */
  private look(): void {
    if (!this.watched || document.visibilityState === "hidden") return;
    const { dial, idle } = this.watched;
    if (dial.held || this.link.outstanding) return;
    this.watched = null;
    this.underway = true;
    this.looks += 1;
    this.link.set({ _track: { site: dial.gate.site, kind: dial.kind, look: this.looks, idle } });
  }

  /**
   * What somebody looks at is gone on with, and edited dials get their tracks too, whoever edited them: one after the
   * other, the newest first.
   */
  private lookOn(): void {
    if (this.watched) return;
    const tracks = this.link.get("_tracks");
    const asked = this.link.get("_track");
    const last = "site" in asked ? tracks[asked.site] : undefined;
    if (this.underway && last && !last.done) return;
    const next = this.unfinished(tracks);
    if (!next || this.dials.some(({ held }) => held) || this.link.outstanding) return;
    const { gate, kind } = next.dial;
    const track = tracks[gate.site];
    this.known.set(gate.site, track?.kind === kind ? track.values.length : 0);
    this.watched = next;
    this.look();
  }

  private unfinished(tracks: Record<string, Track>): { dial: Dial; idle: boolean } | undefined {
    const edited = Object.keys(this.link.get("dials")).reverse();
    const rank = (dial: Dial) => (dial.present ? -1 : edited.indexOf(dial.gate.site));
    const dial = this.dials
      .filter((one) => one.present || (one.setting && edited.includes(one.gate.site)))
      .sort((one, other) => rank(one) - rank(other))
      .find(({ gate, kind }) => {
        const track = tracks[gate.site]?.kind === kind ? tracks[gate.site] : undefined;
        return !track?.done && (track?.values.length ?? 0) > (this.known.get(gate.site) ?? -1);
      });
    return dial && { dial, idle: !dial.present };
  }

  private drawTracks(): void {
    const tracks = this.link.get("_tracks");
    const span = spanOf(Object.values(tracks));
    for (const dial of this.dials) dial.draw(tracks[dial.gate.site], span);
  }
}
