<?php
// SimpleSAMLphp 1.19 encrypts for a certificate by AES-CBC alone. Its library can do AES-GCM: this has it take that.
$class = file_get_contents(getenv('PEER_LIBRARY') . '/saml2/src/SAML2/EncryptedAssertion.php');
$session_key = 'new XMLSecurityKey(XMLSecurityKey::AES128_CBC)';
if (substr_count($class, $session_key) !== 1) {
    throw new Exception('this is another version of the library');
}
eval(str_replace(['<?php', $session_key], ['', 'new XMLSecurityKey(XMLSecurityKey::AES256_GCM)'], $class));
