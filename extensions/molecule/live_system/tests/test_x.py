def test_x(host):
    assert host.file("/boot/efi").is_directory
    print(host.ansible.get_variables())
