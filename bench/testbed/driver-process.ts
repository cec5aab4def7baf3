import { randomBytes } from 'node:crypto';
import { FrameClient } from '../../cli/frames.ts';
import { type Bus, silentLog } from '../../shared/ports.ts';
import type { FrameEnvelope } from '../../shared/protocol/messages/frame.ts';
import { type Deployed, deployedAnswer } from '../../shared/protocol/messages/requests.ts';
import type { ResultObject } from '../../shared/protocol/messages/result.ts';
import { topics } from '../../shared/protocol/topics.ts';
import { connectBus } from '../../shared/runtime/mqtt.ts';
import { askRequest } from '../../shared/runtime/requests.ts';
import { answerCalls } from './calls.ts';

/**
 * The camera and the operator of an emulated cluster, in the namespace of broker and central, outside of their group: it
 * sends frames, each when the last one has its result, and has plans deployed.
 */

const FRAME_MS = 60_000;
const DEPLOY_MS = 70_000;
const names = topics('tessera');
let bus: Bus;
let camera: FrameClient;

/** A picture. */
export interface SentFrame {
  readonly format: 'jpeg' | 'png';
  readonly base64: string;
}

/** What a frame came to. */
export interface Driven {
  /** From sending it to its result, ms. */
  readonly ms: number;
  readonly result: ResultObject;
  /** The first output, float32, where tensors were asked for. */
  readonly output: string | undefined;
}

/** What the driver does when called. */
export const driver = {
  async connect({ url, camera: name }: { readonly url: string; readonly camera: string }): Promise<void> {
    bus = await connectBus({ url, clientId: `testbed-${process.pid}`, log: silentLog });
    camera = new FrameClient(bus, names, name);
    await camera.start();
  },
  deploy: ({ plan }: { readonly plan: unknown }): Promise<Deployed> =>
    askRequest(bus, names, 'deploy', { plan }, deployedAnswer, DEPLOY_MS),
  async frame({ format, base64, tensors }: SentFrame & { readonly tensors?: boolean }): Promise<Driven> {
    const d = Buffer.from(base64, 'base64');
    const envelope: FrameEnvelope = { v: 1, format, d, ...(tensors === true ? { tensors } : {}) };
    const began = performance.now();
    const answer = await camera.send(randomBytes(8).toString('hex'), envelope, FRAME_MS);
    const ms = performance.now() - began;
    const output = answer.tensors?.outputs[0]?.d;
    return { ms, result: answer.result, output: output && Buffer.from(output).toString('base64') };
  },
};

answerCalls(driver);
