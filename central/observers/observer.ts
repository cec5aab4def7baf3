import type { SourceReport } from '../../shared/protocol/messages/camera.ts';
import type { PlanProgress } from '../../shared/protocol/messages/node.ts';
import type { ResultObject, SkipReason } from '../../shared/protocol/messages/result.ts';
import type { NodeChange } from '../coordinator/effects.ts';
import type { EndedFrame } from '../effects.ts';
import type { ServedPlan } from '../served-model.ts';
import type { Setting } from '../settings/camera-settings.ts';

/**
 * A feature that follows what an active central does and never decides anything, such as statistics. One file is one
 * feature; `list.ts` has the list. Every member is optional, is called synchronously and must return quickly.
 */
export interface Observer {
  /** The central has become the active one. */
  start?(): void;
  /** The central is not the active one any more. */
  stop?(): void;
  /** A plan was offered for a model; it serves no frames yet. */
  planOffered?(model: string, plan: string): void;
  /** A model was refused. */
  modelsChanged?(): void;
  /** From now on the plan serves the model's new frames. */
  planActive?(model: string, plan: ServedPlan): void;
  /** The last frame of a plan that was replaced has ended. */
  planRetired?(plan: string): void;
  /** A frame of an accepted camera was read; the coordinator has not accepted the frame yet. */
  frameArrived?(camera: string): void;
  /** A frame was not accepted, or lost its place in the queue; `camera` is empty where the message names none. */
  frameSkipped?(camera: string, reason: SkipReason): void;
  /** A frame has ended and its result goes to the broker. */
  frameEnded?(frame: EndedFrame, result: ResultObject): void;
  /** A camera sent its first frame, a frame after a silence, or none for `offline_after_s`. */
  cameraChanged?(camera: string, state: 'online' | 'offline'): void;
  /** What the source of a camera is doing, from the node that reads it. */
  cameraReported?(camera: string, node: string, report: SourceReport): void;
  /** A camera that is not listed in the configuration made room for another one. */
  cameraForgotten?(camera: string): void;
  /** Somebody has changed a setting of a camera. */
  settingChanged?(camera: string, setting: Setting): void;
  nodeChanged?(change: NodeChange): void;
  /** A node's progress with the plans that it prepares, from its heartbeat. */
  progress?(node: string, plans: readonly PlanProgress[]): void;
  /** The process that started the nodes stops them: their disconnections are not reported. */
  nodesStopping?(): void;
}
