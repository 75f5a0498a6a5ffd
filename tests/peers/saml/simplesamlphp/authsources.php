<?php
$config = [
    'admin' => ['core:AdminPassword'],
    'people' => ['exampleauth:UserPass', 'ann:pw' => ['uid' => ['ann'], 'groups' => ['clerks', 'all']], 'bob:pw' => ['uid' => ['bob']]],
];
