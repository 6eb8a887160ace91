import packageFile from '../package.json' with { type: 'json' }

/** of the gateway that runs */
export const { version } = packageFile
