/** The outcomes of all frames. */
export interface Verdict {
  readonly sent: number;
  readonly acknowledged: number;
  /** Acknowledged frames by how they ended: `ok`, `degraded`, or the code of an error. */
  readonly ended: Readonly<Record<string, number>>;
  /** Acknowledged frames without a result. */
  readonly missing: readonly string[];
  /** Those of them that were acknowledged in the moment before a broker was killed that saves after it acknowledges. */
  readonly unsaved: readonly string[];
  /** Frames with two ends that differ. */
  readonly doubled: readonly string[];
  /** Results that arrived again with the same bytes, as is allowed. */
  readonly repeats: number;
}

interface Life {
  sent: number;
  acknowledged: number | undefined;
  /** Each different result once, as text, with the time at which it first arrived. */
  readonly ends: Map<string, number>;
}

/** Follows each frame from its camera to its end. Times are seconds since any moment. */
export class Account {
  readonly #lives = new Map<string, Life>();
  #repeats = 0;
  /** Moments before a kill in which the broker may not have saved what it acknowledged. */
  readonly #unsaved: { readonly from: number; readonly to: number }[] = [];

  sent(frame: string, at: number): void {
    this.#of(frame).sent = at;
  }

  acknowledged(frame: string, at: number): void {
    this.#of(frame).acknowledged = at;
  }

  /** What a broker acknowledged between two times may be lost. */
  unsaved(from: number, to: number): void {
    this.#unsaved.push({ from, to });
  }

  /** A result as it was published. */
  result(text: string, at: number): void {
    const { frame } = JSON.parse(text) as { frame: string };
    const { ends } = this.#of(frame);
    if (ends.has(text)) this.#repeats++;
    else ends.set(text, at);
  }

  /** Acknowledged frames that have no end yet, and should have one. */
  get open(): number {
    return [...this.#lives.values()].filter((life) => isOpen(life) && !this.#mayBeUnsaved(life)).length;
  }

  /** All that is known of a frame, for people. */
  story(frame: string): string {
    const { sent, acknowledged, ends } = this.#of(frame);
    const told = [...ends].map(([text, at]) => {
      const { id, status, error } = JSON.parse(text) as { id: string; status: string; error?: { code: string } };
      return `${at.toFixed(2)} ${error?.code ?? status} (${id})`;
    });
    const known = acknowledged === undefined ? 'not acknowledged' : `acknowledged ${acknowledged.toFixed(2)}`;
    return `${frame}: sent ${sent.toFixed(2)}, ${known}, ${told.join(', ') || 'no end'}`;
  }

  /** When a frame was sent. */
  sentAt(frame: string): number {
    return this.#of(frame).sent;
  }

  verdict(): Verdict {
    const lives = [...this.#lives];
    const ended: Record<string, number> = {};
    for (const [, { acknowledged, ends }] of lives) {
      const [first] = ends.keys();
      if (acknowledged === undefined || first === undefined) continue;
      const { status, error } = JSON.parse(first) as { status: string; error?: { code: string } };
      const how = error?.code ?? status;
      ended[how] = (ended[how] ?? 0) + 1;
    }
    const open = lives.filter(([, life]) => isOpen(life));
    return {
      sent: lives.length,
      acknowledged: lives.filter(([, { acknowledged }]) => acknowledged !== undefined).length,
      ended,
      missing: open.filter(([, life]) => !this.#mayBeUnsaved(life)).map(([frame]) => frame),
      unsaved: open.filter(([, life]) => this.#mayBeUnsaved(life)).map(([frame]) => frame),
      doubled: lives.filter(([, { ends }]) => ends.size > 1).map(([frame]) => frame),
      repeats: this.#repeats,
    };
  }

  /** Whether the frame was acknowledged in a moment before a kill. */
  #mayBeUnsaved({ acknowledged = 0 }: Life): boolean {
    return this.#unsaved.some(({ from, to }) => from <= acknowledged && acknowledged <= to);
  }

  #of(frame: string): Life {
    const known = this.#lives.get(frame);
    if (known !== undefined) return known;
    const life: Life = { sent: Number.NaN, acknowledged: undefined, ends: new Map() };
    this.#lives.set(frame, life);
    return life;
  }
}

const isOpen = ({ acknowledged, ends }: Life): boolean => acknowledged !== undefined && ends.size === 0;
