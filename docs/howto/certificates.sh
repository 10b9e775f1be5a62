openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=test-ca \
    -keyout ca.key -out ca.pem

openssl req -newkey rsa:2048 -nodes -subj /CN=localhost \
    -keyout proxy.key -out proxy.csr
echo "subjectAltName=DNS:localhost,IP:127.0.0.1" >proxy.ext
openssl x509 -req -days 30 -in proxy.csr -extfile proxy.ext \
    -CA ca.pem -CAkey ca.key -CAcreateserial -out proxy.pem

openssl req -newkey rsa:2048 -nodes -subj /CN=alice \
    -keyout alice.key -out alice.csr
echo "extendedKeyUsage=clientAuth" >alice.ext
openssl x509 -req -days 30 -in alice.csr -extfile alice.ext \
    -CA ca.pem -CAkey ca.key -CAcreateserial -out alice.pem
