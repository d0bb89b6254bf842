import type { Mutex, MutexState } from '../../src/index.js';
import { bar, count, duration, paint, sparkline } from './format.js';
import type { Fault, Ledger } from './ledger.js';
import { now } from './messages.js';
import { Screen } from './screen.js';

const FRAME = 125;
const PLAIN_EVERY = 2_000;
const WIDTH = 48;
/** So many frames make the pace that is shown as a number. */
const LATELY = 8;
const LOOK_WITHIN = 1_000;
const STATE: Record<Fault['signal'], string> = {
  SIGKILL: paint.red(' (killed)'),
  SIGSTOP: paint.yellow(' (stopped)'),
};

/** What the view shows. */
export interface Scenery {
  readonly ledger: Ledger;
  readonly mutex: Mutex;
  /** How long the work takes, in milliseconds. */
  readonly planned: number;
}

interface Frame {
  /** When, in milliseconds since the start. */
  readonly at: number;
  /** Hand-offs since the frame before. */
  readonly handOffs: number;
}

/** Shows the run as it goes: a panel on a terminal, plain lines elsewhere. */
export class View {
  readonly #scenery: Scenery;
  readonly #started = now();
  readonly #screen: Screen | undefined;
  readonly #frames: Frame[] = [];
  readonly #timer: NodeJS.Timeout;
  readonly #onExit = (): void => this.close();
  #line: MutexState | undefined;
  #counted = 0;

  constructor(scenery: Scenery) {
    this.#scenery = scenery;
    this.#screen = process.stdout.isTTY ? new Screen(process.stdout) : undefined;
    process.once('exit', this.#onExit);
    this.#timer = setInterval(() => this.#tick(), this.#screen ? FRAME : PLAIN_EVERY);
  }

  /** Says what has happened. */
  tell(what: string): void {
    const line = `${paint.dim(this.#clock())}  ${what}`;
    if (this.#screen) this.#screen.print(line);
    else console.log(line);
  }

  /** Leaves the terminal as it was found. */
  close(): void {
    clearInterval(this.#timer);
    this.#screen?.close();
    process.off('exit', this.#onExit);
  }

  #tick(): void {
    const { ledger } = this.#scenery;
    const handOffs = ledger.sections.length - this.#counted;
    this.#frames.push({ at: now() - this.#started, handOffs });
    this.#counted = ledger.sections.length;
    if (!this.#screen) {
      this.tell(this.#progress());
      return;
    }
    this.#screen.draw(this.#panel());
    void this.#look();
  }

  /** What is drawn next time: etcd may take longer than a frame to answer. */
  async #look(): Promise<void> {
    try {
      this.#line = await this.#scenery.mutex.inspect({ timeout: LOOK_WITHIN });
    } catch {
      // The view is to look at; what is wrong comes out elsewhere.
    }
  }

  #progress(): string {
    const { guarded, plain } = this.#scenery.ledger.tallies;
    const rate = Math.round(((this.#frames.at(-1)?.handOffs ?? 0) * 1_000) / PLAIN_EVERY);
    return `${rate} hand-offs/s; acknowledged: guarded ${guarded.acknowledged}, plain ${plain.acknowledged}`;
  }

  #panel(): string[] {
    const { ledger, planned } = this.#scenery;
    const elapsed = now() - this.#started;
    const { guarded, plain } = ledger.tallies;
    const lately = this.#frames.slice(-LATELY);
    const rate = (sum(lately) * 1_000) / (lately.length * FRAME);
    const span = Math.max(planned, elapsed);
    return [
      '',
      row('time', `${bar(elapsed / span, WIDTH)}  ${duration(elapsed)}`),
      row('pace', `${sparkline(this.#paces(span)).padEnd(WIDTH)}  ${count(Math.round(rate))}/s`),
      row('lock', this.#who()),
      row('counted', `guarded ${count(guarded.acknowledged)}, plain ${count(plain.acknowledged)}`),
      row('refused', `guarded ${count(guarded.refused)}, plain ${count(plain.refused)}`),
    ];
  }

  /** Hand-offs in each column of the time bar. */
  #paces(span: number): number[] {
    const columns = Array.from({ length: WIDTH }, (): Frame[] => []);
    for (const frame of this.#frames) {
      columns[Math.min(WIDTH - 1, Math.floor((frame.at / span) * WIDTH))]?.push(frame);
    }
    return columns.map((frames) => sum(frames) / Math.max(1, frames.length));
  }

  #who(): string {
    const { holder, waiters = [] } = this.#line ?? {};
    if (!holder) return paint.dim('free');
    const waiting = waiters.map(({ owner }) => owner?.label ?? '?').join(' ');
    const { faults } = this.#scenery.ledger;
    const fault = faults.find(({ token }) => token === holder.token);
    const fate = fault && STATE[fault.signal];
    return `${paint.bold(holder.owner?.label ?? '?')}${fate ?? ''}  ${paint.dim(`then ${waiting || 'nobody'}`)}`;
  }

  #clock(): string {
    return `${((now() - this.#started) / 1_000).toFixed(1).padStart(5)} s`;
  }
}

function row(title: string, text: string): string {
  return `  ${paint.dim(title.padEnd(9))}${text}`;
}

function sum(frames: readonly Frame[]): number {
  return frames.reduce((total, { handOffs }) => total + handOffs, 0);
}
