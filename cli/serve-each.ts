import { basename } from 'node:path';
import { type Failure, failureOf, TesseraError } from '../shared/errors.ts';
import type { Log } from '../shared/ports.ts';
import type { ToServe } from './models.ts';

/** Reports models that are not served. */
export interface ServeEachOptions {
  readonly refuse: (model: string, failure: Failure) => void;
  readonly log: Log;
  /** Resolves when all of it is to end; what fails afterwards fails because of that. */
  readonly stopped: Promise<unknown>;
  readonly patienceMs?: number;
}

/** How long a model that takes its time keeps the next one waiting, ms. */
const PATIENCE_MS = 30_000;

/**
 * Serves each model that can be served, and logs once why the others cannot. Any fault of one model does not affect the
 * others.
 */
export async function serveEach(
  listed: readonly ToServe[],
  serve: (name: string, isCalled: (name: string) => void) => Promise<void>,
  { refuse, log, stopped, patienceMs = PATIENCE_MS }: ServeEachOptions,
): Promise<void> {
  const failures: unknown[] = [];
  let isOver = false;
  void stopped.then(() => {
    isOver = true;
  });
  const serveOne = async ({ name, error: unreadable }: ToServe): Promise<boolean> => {
    // A path is no model name: use the card's, otherwise the last part of the path.
    let known = basename(name).replace(/\.(onnx|ya?ml)$/i, '');
    try {
      if (unreadable !== undefined) throw new TesseraError('TESSERA_MODEL_CARD', unreadable);
      await serve(name, (called) => {
        known = called;
      });
      return true;
    } catch (error) {
      failures.push(error);
      if (isOver) return false;
      const failure = failureOf(error);
      const hint = failure.hint ?? 'fix the model, or take it out of the models folder; then start central again';
      if (listed.length > 1)
        log.error(`model ${known} is not served: ${failure.message}`, { code: failure.code, hint });
      refuse(known, { ...failure, hint });
      return false;
    }
  };
  const started: Promise<boolean>[] = [];
  for (const model of listed) {
    started.push(serveOne(model));
    await withPatience(started.at(-1)!, patienceMs);
  }
  const all = Promise.all(started);
  const firstServed = Promise.any(started.map(async (one) => ((await one) ? undefined : Promise.reject())));
  await Promise.race([all, firstServed.catch(() => all)]);
  if (failures.length < listed.length) return;
  if (failures.length === 1) throw failures[0];
  throw new TesseraError('TESSERA_MODEL_UNKNOWN', `none of the ${listed.length} models can be served`, {
    hint: 'the lines above say why; `tessera model list` shows every model',
  });
}

/** Waits for something, but no longer than people wait for the next model. */
async function withPatience(work: Promise<unknown>, patienceMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, patienceMs);
  });
  await Promise.race([work, late]);
  clearTimeout(timer);
}
