#!/usr/bin/env node
// The command of the npm package: runs the program, which is in a package of its own for each processor.
'use strict';

const { spawn } = require('node:child_process');
const { closeSync, openSync } = require('node:fs');
const { constants } = require('node:os');

// As a shell that finds no program.
const NOT_FOUND = 127;

function find() {
  const name = `ecommerce-saga-${process.platform}-${process.arch}`;
  try {
    return require.resolve(`${name}/ecommerce`);
  } catch {
    console.error(`ecommerce: the npm package ${name} is missing: install again with optional dependencies, or build with cargo`);
    process.exit(NOT_FOUND);
  }
}

function hasTerminal() {
  try {
    closeSync(openSync('/dev/tty', 'r+'));
    return true;
  } catch {
    return false;
  }
}

const program = spawn(find(), process.argv.slice(2), { stdio: 'inherit' });
// A terminal sends these to the program too. Passed on they would be two, and two mean a stop at once.
const ofTerminal = hasTerminal() ? ['SIGINT', 'SIGQUIT', 'SIGHUP'] : [];
for (const signal of ['SIGINT', 'SIGQUIT', 'SIGHUP', 'SIGTERM']) {
  process.on(signal, () => ofTerminal.includes(signal) || program.kill(signal));
}
program.on('error', (error) => {
  console.error(`ecommerce: ${error.message}`);
  process.exitCode = NOT_FOUND;
});
program.on('exit', (code, signal) => {
  process.exitCode = code ?? 128 + constants.signals[signal];
});
