import { readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import type { Plan } from '../shared/plan/plan.ts';
import { planSchema } from '../shared/plan/validate.ts';
import { elsewhereOf } from '../shared/runtime/state-directory.ts';
import { writeWholeSync } from '../shared/runtime/whole-file.ts';
import { z } from '../shared/schema.ts';
import { type Place, storageError, systemCodeOf } from '../shared/storage-fault.ts';

const deployedPlan = z.object({ current: planSchema.nullable(), previous: planSchema.nullable() });

/** What was deployed for one model; null: the plan that the planner makes. */
export interface DeployedPlan {
  readonly current: Plan | null;
  readonly previous: Plan | null;
}

/** The plans that `tessera deploy` put to work, by model, in central's state directory: they outlive a restart. */
export class DeployedPlans {
  readonly #path: string;
  /** The file's entries by model, also those that cannot be read: they stay in the file. */
  #entries = new Map<string, unknown>();
  readonly #plans = new Map<string, DeployedPlan>();
  /** Where the file goes before another one takes its name; undefined: nothing of it would be lost. */
  #aside: string | undefined;

  /** `onUnreadable` is called with the reason where the file exists and cannot be read, or one model's plans cannot. */
  constructor(stateDir: string, onUnreadable: (reason: string) => void) {
    this.#path = join(stateDir, 'deployed-plans.json');
    try {
      const text = readFileSync(this.#path, 'utf8');
      this.#entries = new Map(Object.entries(z.record(z.string(), z.unknown()).parse(JSON.parse(text))));
    } catch (error) {
      if (systemCodeOf(error) === 'ENOENT') return;
      // A person may still repair it.
      this.#aside = `${this.#path}.unreadable`;
      onUnreadable(`${this.#path}: ${error}; the next deployed plan moves the file to ${this.#aside}`);
    }
    for (const [model, entry] of this.#entries) {
      const { data, error } = deployedPlan.safeParse(entry);
      if (data !== undefined) this.#plans.set(model, data as DeployedPlan);
      else onUnreadable(`${this.#path}: model ${model}: ${error}`);
    }
  }

  /** What was deployed for a model. */
  of(model: string): DeployedPlan | undefined {
    return this.#plans.get(model);
  }

  /** Keeps what was deployed for a model. Throws TESSERA_STORAGE. */
  keep(model: string, deployed: DeployedPlan): void {
    const entries = new Map(this.#entries).set(model, deployed);
    const place = { what: 'the deployed plans', path: this.#path, elsewhere: elsewhereOf(this.#path) };
    if (this.#aside !== undefined) moveAside(place, this.#aside);
    this.#aside = undefined;
    writeWholeSync(place, JSON.stringify(Object.fromEntries(entries)));
    this.#entries = entries;
    this.#plans.set(model, deployed);
  }
}

function moveAside(place: Place, aside: string): void {
  try {
    renameSync(place.path, aside);
  } catch (error) {
    if (systemCodeOf(error) !== 'ENOENT') throw storageError(error, place);
  }
}
