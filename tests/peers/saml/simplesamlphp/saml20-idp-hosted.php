<?php
$metadata[getenv('PEER_URL') . '/idp'] = [
    'host' => '__DEFAULT__', 'privatekey' => 'idp.pem', 'certificate' => 'idp.crt', 'auth' => 'people',
    'sign.logout' => true, 'validate.logout' => true, 'redirect.sign' => true, 'redirect.validate' => true,
    'logouttype' => 'traditional', 'signature.algorithm' => 'http://www.w3.org/2001/04/xmldsig-more#rsa-sha256',
    'SingleLogoutServiceBinding' => [getenv('PEER_LOGOUT')],
];
