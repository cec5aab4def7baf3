/*
 * Loaded before a process of a test (`node --require`): the models of config/models.yaml come from the folder that
 * $TEST_DOWNLOADS names instead of the internet, by the last part of their address.
 */
const { readFileSync } = require('node:fs');
const { basename, join } = require('node:path');

globalThis.fetch = async (url) => new Response(readFileSync(join(process.env.TEST_DOWNLOADS, basename(String(url)))));
