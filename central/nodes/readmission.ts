import { TesseraError } from '../../shared/errors.ts';
import type { Bus, Log } from '../../shared/ports.ts';
import { type NodeReadmit, type NodeReadmitted, nodeReadmit } from '../../shared/protocol/messages/requests.ts';
import type { Topics } from '../../shared/protocol/topics.ts';
import { answerRequests, handler } from '../../shared/runtime/requests.ts';

/** What answering `tessera node readmit` needs. */
export interface ReadmissionOptions {
  readonly bus: Bus;
  readonly topics: Topics;
  readonly isLeftOut: (node: string) => boolean;
  readonly readmit: (node: string) => void;
  readonly log: Log;
}

/** Answers `<base>/request/node-readmit`: an operator gives work again to a node that was left out. */
export function answerReadmissions({ bus, topics, isLeftOut, readmit, log }: ReadmissionOptions): Promise<void> {
  const answer = async ({ node }: NodeReadmit): Promise<NodeReadmitted> => {
    if (!isLeftOut(node))
      throw new TesseraError('TESSERA_USAGE', `node ${JSON.stringify(node)} is not left out`, {
        hint: '`tessera nodes` shows which are',
      });
    readmit(node);
    return { node };
  };
  return answerRequests(bus, topics, { 'node-readmit': handler(nodeReadmit, answer) }, log);
}
