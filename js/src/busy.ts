import type { Link } from "./link";

const PATIENCE = 300;
const SILENCE = 10_000;

/** Nothing is asked for, an answer is on its way, or it has not come for so long that the kernel may be gone. */
export type Waiting = "no" | "busy" | "silent";

/** Says when a request has stayed unanswered for a while, and for long, and when it is answered. */
export function watchBusy(link: Link, tell: (waiting: Waiting) => void, signal: AbortSignal): void {
  let timers: ReturnType<typeof setTimeout>[] = [];
  let answered = -1;
  let waiting: Waiting = "no";
  const turn = (to: Waiting) => {
    waiting = to;
    tell(to);
  };
  const stop = () => {
    for (const timer of timers) clearTimeout(timer);
    timers = [];
  };
  const check = () => {
    if (!link.outstanding) {
      stop();
      turn("no");
    } else if (timers.length === 0 || link.answered !== answered) {
      // Every answer is a sign of life, also while newer requests wait.
      stop();
      if (waiting === "silent") turn("busy");
      timers = [
        ...(waiting === "no" ? [setTimeout(() => turn("busy"), PATIENCE)] : []),
        setTimeout(() => turn("silent"), SILENCE),
      ];
    }
    answered = link.answered;
  };
  for (const trait of ["_request", "_frame", "_status"] as const) link.listen(trait, check);
  signal.addEventListener("abort", stop);
}
