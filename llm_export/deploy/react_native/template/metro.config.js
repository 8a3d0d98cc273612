const { getDefaultConfig } = require('expo/metro-config');

const config = getDefaultConfig(__dirname);
// Files of the model are assets, not program text.
config.resolver.assetExts.push('pte', 'bin');

module.exports = config;
