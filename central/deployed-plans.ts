import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Plan } from '../shared/plan/plan.ts';
import { planSchema } from '../shared/plan/validate.ts';
import { elsewhereOf } from '../shared/runtime/state-directory.ts';
import { writeWholeSync } from '../shared/runtime/whole-file.ts';
import { z } from '../shared/schema.ts';

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

  /** `onUnreadable` is called with the reason where the file exists and cannot be read, or one model's plans cannot. */
  constructor(stateDir: string, onUnreadable: (reason: string) => void) {
    this.#path = join(stateDir, 'deployed-plans.json');
    try {
      const text = readFileSync(this.#path, 'utf8');
      this.#entries = new Map(Object.entries(z.record(z.string(), z.unknown()).parse(JSON.parse(text))));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') onUnreadable(`${this.#path}: ${error}`);
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
    writeWholeSync(place, JSON.stringify(Object.fromEntries(entries)));
    this.#entries = entries;
    this.#plans.set(model, deployed);
  }
}
