import { TesseraError } from '../../shared/errors.ts';
import { CENTRAL } from '../../shared/plan/plan.ts';
import { parsePlan } from '../../shared/plan/validate.ts';
import type { Bus, Log } from '../../shared/ports.ts';
import {
  type CodecsMeasured,
  type FrameMeasured,
  type LinkMeasured,
  type MeasureCodecs,
  type MeasureFrame,
  type MeasureLink,
  type MeasureStage,
  measureCodecs,
  measureFrame,
  measureLink,
  measureStage,
  type StageMeasured,
  type TunedAnswer,
  type TuneRequest,
  tuneRequest,
} from '../../shared/protocol/messages/requests.ts';
import type { NodeRegistry } from '../../shared/protocol/node-registry.ts';
import type { Topics } from '../../shared/protocol/topics.ts';
import { answerRequests, handler } from '../../shared/runtime/requests.ts';
import { modelOf } from '../deployment.ts';
import type { FrameTimes } from '../frame-times.ts';
import type { ServedModel } from '../served-model.ts';
import type { NodeMeasurements } from './node-measurements.ts';

/** What answering `tessera profile` needs. */
export interface MeasurementRequestsOptions {
  readonly bus: Bus;
  readonly topics: Topics;
  readonly registry: NodeRegistry;
  readonly models: ReadonlyMap<string, ServedModel>;
  readonly measurements: Pick<NodeMeasurements, 'order'>;
  readonly frameTimes: Pick<FrameTimes, 'of'>;
  readonly log: Log;
}

/**
 * Answers `<base>/request/measure-stage`, `measure-link`, `measure-codecs` and `tune`: nodes measure; and `measure-frame`:
 * what central's own work takes.
 */
export function answerMeasurements(options: MeasurementRequestsOptions): Promise<void> {
  const { bus, topics, registry, models, measurements, frameTimes, log } = options;
  const requireOnline = (node: string): void => {
    if (node === CENTRAL || registry.nodes.get(node)?.online === true) return;
    throw new TesseraError('TESSERA_NO_NODES', `node ${JSON.stringify(node)} is not online`, {
      hint: '`tessera nodes` shows which are',
    });
  };

  const stage = async ({ node, plan: asked, warmup, repeats, budget_ms }: MeasureStage): Promise<StageMeasured> => {
    requireOnline(node);
    const plan = parsePlan(asked);
    const { manifest } = modelOf(models, undefined, plan.model);
    const order = { type: 'measure', plan, manifest, stage: 0, warmup, repeats, budget_ms } as const;
    const answer = await measurements.order(node, order);
    if (answer.type !== 'measured') throw new TesseraError('TESSERA_MESSAGE_INVALID', `node ${node} measured a link`);
    return { ms: answer.ms, others: answer.others };
  };

  const tune = async ({ node, plan: asked, repeats, budget_ms }: TuneRequest): Promise<TunedAnswer> => {
    requireOnline(node);
    const plan = parsePlan(asked);
    const { manifest } = modelOf(models, undefined, plan.model);
    const answer = await measurements.order(node, { type: 'tune', plan, manifest, stage: 0, repeats, budget_ms });
    if (answer.type !== 'tuned') throw new TesseraError('TESSERA_MESSAGE_INVALID', `node ${node} did not tune`);
    return { settings: answer.settings, ms: answer.ms, usual_ms: answer.usual_ms };
  };

  const link = async ({ from, to, repeats }: MeasureLink): Promise<LinkMeasured> => {
    requireOnline(from);
    requireOnline(to);
    if (from === to) throw new TesseraError('TESSERA_USAGE', `node ${from} has no link to itself`);
    const answer = await measurements.order(from, { type: 'probe', to, repeats });
    if (answer.type !== 'probed') throw new TesseraError('TESSERA_MESSAGE_INVALID', `node ${from} measured a stage`);
    return { echoes: answer.echoes, message_ms: answer.message_ms };
  };

  const codecs = async ({ node }: MeasureCodecs): Promise<CodecsMeasured> => {
    requireOnline(node);
    const answer = await measurements.order(node, { type: 'time-codecs' });
    if (answer.type !== 'codecs-timed')
      throw new TesseraError('TESSERA_MESSAGE_INVALID', `node ${node} did not measure codecs`);
    return { part_ms: answer.part_ms, codecs: answer.codecs };
  };

  const frame = async ({ model }: MeasureFrame): Promise<FrameMeasured> => frameTimes.of(modelOf(models, model).name);

  const handlers = {
    'measure-codecs': handler(measureCodecs, codecs),
    'measure-frame': handler(measureFrame, frame),
    'measure-stage': handler(measureStage, stage),
    'measure-link': handler(measureLink, link),
    tune: handler(tuneRequest, tune),
  };
  return answerRequests(bus, topics, handlers, log);
}
