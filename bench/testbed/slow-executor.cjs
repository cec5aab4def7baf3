/*
 * Emulates a slower machine, loaded before a process of the testbed (`node --require`): every run of ONNX Runtime in its
 * threads takes as many times longer as the file named by $TESSERA_SLOWDOWN says. It waits without computing, so that
 * several emulated machines on one do not slow one another down.
 */
const { readFileSync } = require('node:fs');
const { isMainThread } = require('node:worker_threads');

const file = process.env.TESSERA_SLOWDOWN;
if (!isMainThread && file !== undefined) {
  const { InferenceSession } = require('onnxruntime-node');
  const clock = new Int32Array(new SharedArrayBuffer(4));
  const create = InferenceSession.create.bind(InferenceSession);
  InferenceSession.create = async (...args) => {
    const session = await create(...args);
    const run = session.run.bind(session);
    session.run = async (...inputs) => {
      const began = performance.now();
      const outputs = await run(...inputs);
      const ms = (Number(readFileSync(file, 'utf8')) - 1) * (performance.now() - began);
      if (ms > 0) Atomics.wait(clock, 0, 0, ms);
      return outputs;
    };
    return session;
  };
}
