<?php
// SimpleSAMLphp as an identity provider for one test; PEER is its folder, PEER_URL where it is reached, PEER_HOSTS whom it may send people to.
$peer = getenv('PEER');
$config = [
    'baseurlpath' => getenv('PEER_URL') . '/',
    'certdir' => $peer . '/', 'metadatadir' => $peer . '/', 'datadir' => $peer . '/', 'tempdir' => $peer . '/tmp',
    'loggingdir' => $peer . '/', 'logging.handler' => 'file', 'logging.logfile' => 'idp.log',
    'logging.level' => SimpleSAML\Logger::NOTICE, 'logging.processname' => 'idp',
    'technicalcontact_name' => 'nobody', 'technicalcontact_email' => 'nobody@example.org',
    'secretsalt' => 'for-tests-alone-for-tests-alone', 'auth.adminpassword' => 'for-tests-alone',
    'timezone' => 'UTC', 'production' => true, 'showerrors' => true, 'errorreporting' => false,
    'enable.saml20-idp' => true,
    'module.enable' => ['exampleauth' => true, 'core' => true, 'saml' => true],
    'trusted.url.domains' => explode(' ', getenv('PEER_HOSTS')),
    'session.duration' => 28800, 'session.datastore.timeout' => 14400, 'session.state.timeout' => 3600,
    'session.cookie.name' => 'SSPSession', 'session.cookie.path' => '/', 'session.cookie.secure' => false,
    'session.cookie.samesite' => null, 'session.phpsession.cookiename' => 'SSP',
    'session.phpsession.savepath' => $peer . '/sessions', 'session.phpsession.httponly' => true,
    'session.authtoken.cookiename' => 'SSPAuth', 'language.cookie.secure' => false, 'language.cookie.samesite' => null,
    'language.available' => ['en'], 'language.default' => 'en', 'theme.use' => 'default',
    'store.type' => 'phpsession', 'metadata.sources' => [['type' => 'flatfile']],
];
