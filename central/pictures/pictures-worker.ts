import { parentPort } from 'node:worker_threads';
import { answerCalls, buffersOf, type Moved } from '../../shared/runtime/worker-call.ts';
import { drawSnapshot, type Snapshot, type SnapshotRequest } from './snapshot.ts';

/** The thread that draws pictures for people, so that neither messages nor frames wait for it. */

answerCalls(parentPort!, {
  draw: async (request: SnapshotRequest): Promise<Moved<Snapshot>> => {
    const { whole, crops } = await drawSnapshot(request);
    const own = (jpeg: Uint8Array | undefined) => (jpeg === undefined ? undefined : new Uint8Array(jpeg));
    const value = { whole: own(whole), crops: crops.map(own) };
    return { value, transfer: buffersOf([value.whole, ...value.crops].filter((jpeg) => jpeg !== undefined)) };
  },
});
