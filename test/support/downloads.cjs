/*
 * Loaded before a process of a test (`node --require`): the models of config/models.yaml come from files of the folder that
 * $TEST_DOWNLOADS names instead of the internet.
 */
const { readFileSync } = require('node:fs');
const { basename, join } = require('node:path');

/** Files by the last part of the address. */
const FILES = { 'FastestDet.onnx': 'FastestDet.onnx', 'version-RFB-320.onnx': 'ultraface_rfb_320.onnx' };

globalThis.fetch = async (url) =>
  new Response(readFileSync(join(process.env.TEST_DOWNLOADS, FILES[basename(String(url))])));
