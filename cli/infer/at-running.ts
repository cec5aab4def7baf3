import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from '../../shared/config/schema.ts';
import { TesseraError } from '../../shared/errors.ts';
import { CENTRAL } from '../../shared/plan/plan.ts';
import type { Log } from '../../shared/ports.ts';
import {
  type CentralModels,
  centralModels,
  type PlanStatus,
  planStatus,
} from '../../shared/protocol/messages/central.ts';
import type { ResultObject } from '../../shared/protocol/messages/result.ts';
import { topics } from '../../shared/protocol/topics.ts';
import { followAudience, whyUnheard } from '../audience.ts';
import { INFER_CAMERA } from '../central-cameras.ts';
import { connectCommand } from '../connect.ts';
import { FrameClient, readJson } from '../frames.ts';
import { showPreparations } from '../preparation-notes.ts';
import { picturesOf } from './pictures.ts';
import { type Run, send } from './send.ts';

/** Runs inference on a running cluster: its central makes the plan, and must serve the model. */
export async function inferAtRunning(
  model: string,
  settings: Config,
  log: Log,
  run: Run,
  onPlan: (plan: PlanStatus | undefined) => void,
): Promise<ResultObject[]> {
  const names = topics(settings.mqtt.base_topic);
  const bus = await connectCommand(settings, 'infer', log);
  try {
    const plans = new Map<string, PlanStatus>();
    await bus.subscribe(names.planAll, 1, ({ topic, payload }) => {
      const served = topic.split('/').at(-1)!;
      const parsed = planStatus.safeParse(readJson(payload));
      // An empty payload removes the retained message.
      if (parsed.success) plans.set(served, parsed.data);
      else plans.delete(served);
    });
    let models: CentralModels['models'] = {};
    await bus.subscribe(names.centralModels(CENTRAL), 1, ({ payload }) => {
      models = centralModels.safeParse(readJson(payload)).data?.models ?? {};
    });
    // Retained plans outlive the central that made them; during a takeover no central may be active for a moment.
    const audience = await followAudience(bus, names, false);
    await audience.settled;
    const unheard = (): string | undefined => whyUnheard(audience.now());
    const isSaid = (): boolean => plans.has(model) || models[model]?.error !== undefined;
    for (let waited = 0; (!isSaid() || unheard() !== undefined) && waited < 3000 && !run.signal.aborted; waited += 50)
      await sleep(50);
    if (run.signal.aborted) return [];
    if (unheard() !== undefined)
      throw new TesseraError(
        'TESSERA_MODEL_UNKNOWN',
        `no central is online at ${settings.mqtt.server}, so frames are not processed`,
        {
          hint: 'start one with `tessera central`, or all with `tessera up`',
        },
      );
    const refusal = models[model]?.error;
    if (refusal !== undefined)
      throw new TesseraError('TESSERA_MODEL_UNSUPPORTED', `central does not serve it: ${refusal.message}`, {
        hint: refusal.hint ?? 'fix the model, then start central again',
      });
    if (!plans.has(model))
      throw new TesseraError(
        'TESSERA_MODEL_UNKNOWN',
        `the cluster at ${settings.mqtt.server} does not serve model "${model}"`,
        {
          hint: plans.size === 0 ? 'start `tessera central` there' : `it serves ${[...plans.keys()].join(', ')}`,
        },
      );
    onPlan(plans.get(model));
    await showPreparations(bus, names, run.shown);
    const camera = new FrameClient(bus, names, INFER_CAMERA);
    await camera.start();
    const frames = await picturesOf(run, settings, log);
    return await send(camera, frames, run, { model });
  } finally {
    await bus.stop();
  }
}
