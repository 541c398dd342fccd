/** A line on the terminal that says what is being waited for, once that takes longer than a second. */
import type { Io } from './io.ts';
import { roughDuration } from './duration.ts';
import { escapeLine } from './render/escape.ts';

const patienceMs = 1000;
const frameMs = 120;
const frames = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'] as const;
const eraseLine = '\r\u001b[K';

export interface Progress {
  /** What is being done now: `starting web`. */
  label(text: string): void;
  /** Takes the line away, for other output; it comes back by itself. */
  hide(): void;
  stop(): void;
}

const silent: Progress = { label() {}, hide() {}, stop() {} };

/** Nothing is shown where standard error is not a terminal, or where `quiet` is wished. */
export function startProgress(io: Io, first: string, quiet: boolean): Progress {
  if (quiet || !io.isTerminal(2)) return silent;
  const startedAt = io.now();
  let text = first;
  let frame = 0;
  let shown = false;
  const hide = (): void => {
    if (shown) io.write(2, eraseLine);
    shown = false;
  };
  const draw = (): void => {
    const spent = io.now() - startedAt;
    if (spent < patienceMs) return;
    frame = (frame + 1) % frames.length;
    const line = `${frames[frame] ?? ''} ${escapeLine(text)} … ${roughDuration(spent)}`;
    io.write(2, `${eraseLine}${line.slice(0, io.columns() - 1)}`);
    shown = true;
  };
  const timer = setInterval(draw, frameMs);
  timer.unref();
  return {
    label: (next) => (text = next),
    hide,
    stop: () => {
      clearInterval(timer);
      hide();
    },
  };
}
